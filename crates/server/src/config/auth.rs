//! Settings of identity: which tokens are accepted.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchboard_auth::Jwt;

use super::ConfigError;
use super::secret::Secrets;

/// Settings of identity. Without a secret or a key every token is refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// Secrets that HS256 tokens may be signed with: a text, or a list to rotate them. Default none.
    #[serde(skip_serializing_if = "Secrets::is_empty")]
    pub jwt_secret: Secrets,
    /// Public keys in PEM: RS256 of RSA, ES256 of P-256, EdDSA of Ed25519. Default none.
    pub public_keys: Vec<String>,
    /// Where a set of public keys is fetched from, `https://…`. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// Claims that can name the user, the first that does counts. Default `id`, `sub`, `userId`.
    pub user_claims: Vec<String>,
    /// Only tokens of this issuer (`iss`) are accepted. Default: of any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Only tokens for this audience (`aud`) are accepted. Default: for any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// How far clocks may differ, in seconds. Default 0.
    pub leeway_s: u64,
}

impl Default for Auth {
    fn default() -> Self {
        Auth {
            jwt_secret: Secrets::default(),
            public_keys: Vec::new(),
            jwks_url: None,
            user_claims: ["id", "sub", "userId"].map(String::from).into(),
            issuer: None,
            audience: None,
            leeway_s: 0,
        }
    }
}

impl Auth {
    /// What looks at tokens; `None` if none can be good.
    pub fn verifier(&self) -> Result<Option<Jwt>, ConfigError> {
        let bad = |what: &str, error: &dyn fmt::Display| {
            ConfigError::Value(format!("{what} cannot be used: {error}"))
        };
        let mut jwt = Jwt::new().with_leeway(Duration::from_secs(self.leeway_s));
        jwt = jwt.with_user_claims(&self.user_claims);
        for secret in self.jwt_secret.iter() {
            if secret.reveal().is_empty() {
                return Err(ConfigError::Value("auth.jwt_secret is empty".into()));
            }
            jwt = jwt.with_secret(secret.reveal());
        }
        for pem in &self.public_keys {
            jwt = jwt.with_public_key(pem).map_err(|error| bad("a key of auth.public_keys", &error))?;
        }
        if let Some(address) = &self.jwks_url {
            jwt = jwt.with_jwks(address).map_err(|error| bad("auth.jwks_url", &error))?;
        }
        if let Some(issuer) = &self.issuer {
            jwt = jwt.with_issuer(issuer);
        }
        if let Some(audience) = &self.audience {
            jwt = jwt.with_audience(audience);
        }
        let has_keys = !self.jwt_secret.is_empty() || !self.public_keys.is_empty() || self.jwks_url.is_some();
        Ok(has_keys.then_some(jwt))
    }
}
