//! Keys of the HTTP API that have a name, scopes, projects and an end.

use serde::{Deserialize, Serialize};
use switchboard::ProjectId;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::error::InvalidSetting;
use super::secret::Secrets;

/// Shorter keys can be guessed.
const KEY_BYTES_MIN: usize = 16;

/// The prefix of a key's hash.
const HASH_PREFIX: &str = "sha256:";

/// The scopes of a key of the HTTP API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ApiScope {
    /// Queries.
    Read,
    /// Messages and requests to clients.
    Send,
    /// Changes of memberships, inboxes and connections, and queries about the server itself.
    Manage,
}

impl ApiScope {
    /// All scopes.
    pub(crate) const ALL: [ApiScope; 3] = [ApiScope::Read, ApiScope::Send, ApiScope::Manage];

    /// The scope as it is written in the settings.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            ApiScope::Read => "read",
            ApiScope::Send => "send",
            ApiScope::Manage => "manage",
        }
    }
}

/// Settings of a key in `api.named_keys`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NamedKey {
    /// The key, or its hash as `sha256:` and 64 hexadecimal digits. One string, or a list to rotate it. Default none.
    #[serde(skip_serializing_if = "Secrets::is_empty")]
    pub keys: Secrets,
    /// What the key may do: `read`, `send`, `manage`. Default none, so every request is refused.
    pub scopes: Vec<ApiScope>,
    /// Projects that the key is valid for. Default: all, and the server itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub projects: Option<Vec<String>>,
    /// When the key becomes invalid, such as `2027-01-31T00:00:00Z`. Default: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

impl NamedKey {
    /// `section` is the key of these settings.
    pub(super) fn check(&self, section: &str) -> Result<(), InvalidSetting> {
        let invalid = |key: &str, problem: &str| InvalidSetting::new(format!("{section}.{key}"), problem);
        if self.keys.is_empty() {
            return Err(invalid("keys", "expected a key").with_hint(GOOD_KEY));
        }
        check_keys(&format!("{section}.keys"), &self.keys)?;
        if self.scopes.is_empty() {
            return Err(invalid("scopes", "expected at least one of read, send and manage"));
        }
        let projects = self.projects.iter().flatten();
        if self.projects.as_ref().is_some_and(Vec::is_empty)
            || projects.into_iter().any(|id| ProjectId::new(id).is_err())
        {
            return Err(
                invalid("projects", "expected ids of projects").with_hint("leave it out for all projects")
            );
        }
        match self.expires_at.as_deref().map(parse_time) {
            Some(None) => Err(invalid("expires_at", "expected a time such as 2027-01-31T00:00:00Z")),
            _ => Ok(()),
        }
    }

    /// When the key becomes invalid, in ms since 1970. `None` if it does not.
    pub(crate) fn expires_at_ms(&self) -> Option<u64> {
        self.expires_at.as_deref().and_then(parse_time)
    }
}

const GOOD_KEY: &str = "`openssl rand -hex 32` prints a good one";

/// Checks the length of keys and the form of hashes.
pub(super) fn check_keys(setting: &str, keys: &Secrets) -> Result<(), InvalidSetting> {
    for key in keys.iter().map(|key| key.reveal()) {
        if key.starts_with(HASH_PREFIX) {
            if digest_of_hash(key).is_none() {
                let problem = format!("expected 64 hexadecimal digits behind {HASH_PREFIX}");
                let hint = "`printf %s \"$KEY\" | sha256sum` prints them";
                return Err(InvalidSetting::new(setting, problem).with_hint(hint));
            }
        } else if key.len() < KEY_BYTES_MIN {
            let problem = format!("expected keys of at least {KEY_BYTES_MIN} bytes");
            return Err(InvalidSetting::new(setting, problem).with_hint(GOOD_KEY));
        }
    }
    Ok(())
}

/// The SHA-256 digest in a key that is written as `sha256:…`.
pub(crate) fn digest_of_hash(key: &str) -> Option<[u8; 32]> {
    let digits = key.strip_prefix(HASH_PREFIX)?.as_bytes();
    let mut digest = [0; 32];
    if digits.len() != 2 * digest.len() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(digest)
}

fn parse_time(text: &str) -> Option<u64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()
}

#[cfg(test)]
mod tests {
    use super::super::with;
    use super::*;

    #[test]
    fn a_named_key_has_scopes_projects_and_an_end() {
        let config = with(&[
            "api.named_keys.shop.keys=0123456789abcdef",
            "api.named_keys.shop.scopes=[\"read\", \"send\"]",
            "api.named_keys.shop.projects=[\"shop\"]",
            "api.named_keys.shop.expires_at=2027-01-31T01:00:00+01:00",
        ])
        .unwrap();
        let key = &config.api.named_keys["shop"];
        assert_eq!(key.scopes, [ApiScope::Read, ApiScope::Send]);
        assert_eq!(key.expires_at_ms(), Some(1_801_353_600_000));
        assert!(config.api.is_on());
        let shown = format!("{config:?}{}", config.to_toml());
        assert!(!shown.contains("0123456789abcdef") && shown.contains("[api.named_keys.shop]"), "{shown}");
    }

    #[test]
    fn an_invalid_named_key_is_reported_with_its_setting() {
        let (key, scopes) = ("api.named_keys.a.keys=0123456789abcdef", "api.named_keys.a.scopes=[\"read\"]");
        let short_hash = format!("api.named_keys.a.keys=sha256:{}", "0".repeat(63));
        for (sets, setting) in [
            (&[scopes][..], "api.named_keys.a.keys: expected a key"),
            (&[key], "api.named_keys.a.scopes"),
            (&["api.named_keys.a.keys=short", scopes], "api.named_keys.a.keys is `***`"),
            (&[&short_hash, scopes], "api.named_keys.a.keys is `***`"),
            (&[key, "api.named_keys.a.scopes=[\"write\"]"], "api.named_keys.a.scopes"),
            (&[key, scopes, "api.named_keys.a.projects=[\"\"]"], "api.named_keys.a.projects"),
            (&[key, scopes, "api.named_keys.a.projects=[]"], "api.named_keys.a.projects"),
            (
                &[key, scopes, "api.named_keys.a.expires_at=tomorrow"],
                "api.named_keys.a.expires_at is `tomorrow`",
            ),
            (&[key, scopes, "api.named_keys.a.name=x"], "api.named_keys.a.name"),
            (
                &[
                    key,
                    scopes,
                    "api.named_keys.b.keys=0123456789abcdef",
                    "api.named_keys.b.scopes=[\"send\"]",
                ],
                "api.named_keys.b.keys is `***`",
            ),
            (&[key, scopes, "api.keys=0123456789abcdef"], "api.named_keys.a.keys is `***`"),
        ] {
            let error = with(sets).unwrap_err().to_string();
            assert!(error.starts_with(setting), "{sets:?}: {error}");
            assert!(!error.contains("short") && !error.contains("0123456789"), "{error}");
        }
    }
}
