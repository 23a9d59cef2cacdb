//! Settings of the HTTP API for backends.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use switchboard_log::with_causes;
use switchboard_tls::server::{ServedCertificates, server_config};

use super::api_keys::{NamedKey, check_keys};
use super::error::InvalidSetting;
use super::file::read;
use super::hosts::check_hosts;
use super::no_effect::NoEffect;
use super::secret::Secrets;

/// Settings of the HTTP API. It is on if there is a key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Api {
    /// Address of the API, which is served nowhere else; port 0 takes a free one. Default `127.0.0.1:4001`.
    pub listen: SocketAddr,
    /// Host names by which the API may be called, such as `api.internal`, besides IP addresses and `localhost`. Other
    /// requests are refused with 403, because a page could send them (DNS rebinding). Default: none.
    pub hosts: Vec<String>,
    /// Keys of backends that may do everything, sent as `Authorization: Bearer <key>`, each of at least 16 bytes. Or the
    /// hash of a key, as `sha256:` and 64 hexadecimal digits. One string, or a list to rotate keys. Default none.
    #[serde(skip_serializing_if = "Secrets::is_empty")]
    pub keys: Secrets,
    /// Further keys, by a name of your choice. Each has `keys` as above, `scopes` (a list of `read`, `send` and `manage`),
    /// `projects` (default: all) and `expires_at` (such as `2027-01-31T00:00:00Z`; default: never).
    pub named_keys: BTreeMap<String, NamedKey>,
    /// PEM file of certificate authorities: only backends with a certificate of one of them can connect, and they need a key,
    /// too. A changed file is used within 10 s. It needs `api` in `tls.listeners`. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca_file: Option<PathBuf>,
    /// Largest request body in bytes; a larger one is refused with 413. Default 1,048,576.
    pub body_bytes_max: usize,
    /// Requests per second and key, with a burst of as many; more are refused with 429. Default 1,000.
    #[serde(with = "switchboard::limit")]
    pub requests_per_second: Option<u32>,
}

impl Default for Api {
    fn default() -> Self {
        Api {
            listen: SocketAddr::from(([127, 0, 0, 1], 4001)),
            hosts: Vec::new(),
            keys: Secrets::default(),
            named_keys: BTreeMap::new(),
            client_ca_file: None,
            body_bytes_max: 1024 * 1024,
            requests_per_second: Some(1000),
        }
    }
}

impl Api {
    pub(super) fn check(&self) -> Result<(), InvalidSetting> {
        check_hosts("api.hosts", &self.hosts)?;
        check_keys("api.keys", &self.keys)?;
        for (name, key) in &self.named_keys {
            key.check(&format!("api.named_keys.{name}"))?;
        }
        self.check_distinct()?;
        if self.body_bytes_max == 0 {
            return Err(InvalidSetting::new("api.body_bytes_max", "expected at least 1"));
        }
        Ok(())
    }

    /// Checks that no two names have the same key: which scopes it has would depend on their order.
    fn check_distinct(&self) -> Result<(), InvalidSetting> {
        let mut settings: HashMap<&str, String> = HashMap::new();
        for (setting, keys) in self.secrets() {
            for key in keys.iter() {
                let first = settings.insert(key.reveal(), setting.clone());
                if let Some(first) = first.filter(|first| *first != setting) {
                    return Err(InvalidSetting::new(
                        setting,
                        format!("expected a key of its own; {first} has the same"),
                    ));
                }
            }
        }
        Ok(())
    }

    /// Checks that clients with certificates use TLS.
    pub(super) fn check_client_ca(&self, has_tls: bool) -> Result<(), InvalidSetting> {
        if self.client_ca_file.is_none() || !self.is_on() || has_tls {
            return Ok(());
        }
        let invalid = InvalidSetting::new("api.client_ca_file", "the API does not use TLS, which it needs");
        Err(invalid.with_hint("set tls.certificates, and add `api` to tls.listeners"))
    }

    /// Checks the certificate authorities of clients.
    pub(super) fn check_files(&self) -> Result<(), InvalidSetting> {
        const KEY: &str = "api.client_ca_file";
        let Some(path) = &self.client_ca_file else { return Ok(()) };
        let checked = server_config(Arc::<ServedCertificates>::default(), Some(&read(KEY, path)?));
        checked.map(drop).map_err(|error| {
            InvalidSetting::new(KEY, format!("expected certificates in PEM: {}", with_causes(&error)))
        })
    }

    /// Settings without effect.
    pub(super) fn no_effect(&self) -> Option<NoEffect> {
        let reason = "api.keys and api.named_keys are not set, so the API is off";
        let off = NoEffect::of(&["api"], reason).except(&["api.keys"]);
        (!self.is_on()).then_some(off)
    }

    /// Returns true if the API is served.
    pub(crate) fn is_on(&self) -> bool {
        !self.keys.is_empty() || !self.named_keys.is_empty()
    }

    /// The secrets by their settings.
    pub(super) fn secrets(&self) -> BTreeMap<String, &Secrets> {
        let setting = |name: &String| format!("api.named_keys.{name}.keys");
        let named = self.named_keys.iter().map(|(name, key)| (setting(name), &key.keys));
        named.chain([("api.keys".into(), &self.keys)]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    #[test]
    fn a_short_key_is_refused_and_no_key_is_ever_shown() {
        let error = Config::load(None, &["api.keys=short".to_owned()]).unwrap_err().to_string();
        let expected = "api.keys is `***` (--set api.keys); expected keys of at least 16 bytes\n\nhint: ";
        assert!(error.starts_with(expected), "{error}");
        assert!(!error.contains("short"));
        let config = Config::load(None, &["api.keys=[\"0123456789abcdef\"]".to_owned()]).unwrap();
        assert!(config.api.is_on() && !Config::default().api.is_on());
        assert!(!format!("{config:?}{}", config.to_toml()).contains("0123456789abcdef"));
    }
}
