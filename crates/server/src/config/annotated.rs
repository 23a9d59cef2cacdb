//! The settings file of `switchboard config init`, and the keys in it.

/// Every setting with its default behind a `#`, and an explanation. Generated from the doc comments.
pub(super) const TEXT: &str = include_str!("annotated.toml");

/// The keys of all settings, such as `limits.messages_per_s`.
pub(super) fn keys() -> impl Iterator<Item = String> {
    let mut section = "";
    TEXT.lines().filter_map(move |line| {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
        }
        let line = line.strip_prefix("# ").or_else(|| line.strip_prefix('#'))?;
        let (name, _) = line.split_once(" = ")?;
        let is_name =
            name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        let key = if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
        is_name.then_some(key)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_those_of_the_settings_with_and_without_a_default() {
        let keys: Vec<String> = keys().collect();
        for key in [
            "listen",
            "limits.messages_per_s",
            "mesa.sync.enabled",
            "auth.jwt_secret",
            "projects.every.events",
        ] {
            assert!(keys.iter().any(|known| known == key), "{key}: {keys:?}");
        }
        let mut unique = keys.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), keys.len());
    }
}
