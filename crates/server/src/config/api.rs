//! Settings of the HTTP API, by which backends send.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::ConfigError;
use super::secret::Secrets;

/// Settings of the HTTP API. It is there if there are keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Api {
    /// Where it answers, and nowhere else. Default `127.0.0.1:4001`.
    pub listen: SocketAddr,
    /// Who may ask: `Authorization: Bearer <key>`. A text, or a list to rotate them. Default none.
    #[serde(skip_serializing_if = "Secrets::is_empty")]
    pub keys: Secrets,
    /// Most bytes of one request. Default 1 MiB.
    pub body_bytes_max: usize,
    /// Most requests with one key in a second, after as many at once. Default 1,000; 0 means no bound.
    pub requests_per_second: u32,
}

/// Shorter keys can be guessed.
const KEY_BYTES_MIN: usize = 16;

impl Default for Api {
    fn default() -> Self {
        Api {
            listen: SocketAddr::from(([127, 0, 0, 1], 4001)),
            keys: Secrets::default(),
            body_bytes_max: 1024 * 1024,
            requests_per_second: 1000,
        }
    }
}

impl Api {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let short = self.keys.iter().any(|key| key.reveal().len() < KEY_BYTES_MIN);
        if short {
            let hint = "hint: `openssl rand -hex 32` prints a good one";
            return Err(ConfigError::Value(format!(
                "api.keys has a key of fewer than {KEY_BYTES_MIN} bytes\n\n{hint}"
            )));
        }
        if self.body_bytes_max == 0 {
            return Err(ConfigError::Value("api.body_bytes_max is 0; the least is 1".into()));
        }
        Ok(())
    }

    /// Whether it is there.
    pub(crate) fn is_on(&self) -> bool {
        !self.keys.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    #[test]
    fn keys_are_long_and_never_shown() {
        let error = Config::load(None, &["api.keys=short".to_owned()]).unwrap_err().to_string();
        assert!(error.starts_with("api.keys has a key of fewer than 16 bytes"), "{error}");
        assert!(!error.contains("short"));
        let config = Config::load(None, &["api.keys=[\"0123456789abcdef\"]".to_owned()]).unwrap();
        assert!(config.api.is_on() && !Config::default().api.is_on());
        assert!(!format!("{config:?}{}", config.to_toml()).contains("0123456789abcdef"));
    }
}
