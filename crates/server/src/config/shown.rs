//! The settings in effect, for operators: where each comes from, and a hash by which nodes compare theirs.

use std::collections::BTreeMap;

use ring::digest::{SHA256, digest};

use super::reload::flatten;
use super::{Config, Loaded};

impl Config {
    /// The values of all settings by their keys, in TOML. Secrets are `"***"`.
    pub(crate) fn shown(&self) -> BTreeMap<String, String> {
        let (table, mut values) = (self.table(), BTreeMap::new());
        flatten("", &table, &mut values);
        values.into_iter().map(|(key, value)| (key, value.to_string())).collect()
    }

    /// The beginning of a hash of the settings that the nodes of a cluster usually share: no addresses, paths or secrets.
    pub(crate) fn shared_hash(&self) -> String {
        let is_shared = |key: &str| {
            let last = key.rsplit('.').next().unwrap_or(key);
            !["listen", "redirect_listen", "path", "file", "folder", "worker_threads"].contains(&last)
                && !key.starts_with("node.")
        };
        let shared: Vec<String> = self
            .shown()
            .into_iter()
            .filter(|(key, _)| is_shared(key))
            .map(|(key, value)| format!("{key} = {value}\n"))
            .collect();
        let hash = digest(&SHA256, shared.concat().as_bytes());
        hash.as_ref()[..4].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Loaded {
    /// The file and line, the variable or the flag of each setting that is set.
    pub(crate) fn sources(&self) -> BTreeMap<String, String> {
        let keys = self.config.shown().into_keys();
        keys.filter_map(|key| self.merged.source(&key).map(|source| (key, source))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::with;
    use super::super::{Config, Sources};

    #[test]
    fn the_hash_differs_with_a_shared_setting_and_not_with_an_address_or_a_secret() {
        let hash = |sets: &[&str]| with(sets).unwrap().shared_hash();
        let plain = hash(&["api.keys=0123456789abcdef"]);
        assert_eq!(plain.len(), 8);
        for same in [
            &["api.keys=0123456789abcdeF", "listen=127.0.0.1:7000"][..],
            &["api.keys=0123456789abcdef", "api.listen=127.0.0.1:7001"],
        ] {
            assert_eq!(hash(same), plain, "{same:?}");
        }
        assert_ne!(hash(&["api.keys=0123456789abcdef", "limits.messages_per_s=5"]), plain);
    }

    #[test]
    fn a_setting_is_shown_with_its_source_and_a_secret_without_its_value() {
        let flags = ["api.keys=0123456789abcdef".to_owned(), "koji.enabled=false".to_owned()];
        let loaded = Config::load_from(&Sources::new(None, &flags)).unwrap();
        let (shown, sources) = (loaded.config.shown(), loaded.sources());
        assert_eq!(shown["koji.enabled"], "false");
        assert_eq!(sources["koji.enabled"], "--set koji.enabled");
        assert_eq!(sources.get("limits.messages_per_s"), None);
        assert!(sources.contains_key("api.keys"), "{sources:?}");
        assert!(!shown.values().any(|value| value.contains("0123456789")), "{shown:?}");
    }
}
