//! Settings of authentication: which tokens are accepted.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchboard_auth::{JwksOptions, Jwt, KeyError};

use super::error::{ConfigError, InvalidSetting};
use super::file::read;
use super::secret::Secrets;

/// Settings of authentication. Without a secret, a key and a key set every token is refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// Secrets of HS256 tokens: one string, or a list to rotate them; the first signs in
    /// `switchboard token make`. Default none.
    #[serde(skip_serializing_if = "Secrets::is_empty")]
    pub jwt_secret: Secrets,
    /// Public keys in PEM: RSA for RS256, P-256 for ES256, Ed25519 for EdDSA. Default none.
    pub public_keys: Vec<String>,
    /// Address of a JSON Web Key Set, `https://…` or `http://…`. It is fetched when a token needs it,
    /// cached for 10 min, and fetched at most every 10 s. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// PEM file of certificate authorities that `auth.jwks_url` may use in addition to Mozilla's. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_ca_file: Option<PathBuf>,
    /// Claims that can hold the user id; the first one that a token has is used. Default `id`, `sub`, `userId`.
    pub user_claims: Vec<String>,
    /// Required issuer (`iss`) of a token. Default: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Required audience (`aud`) of a token. Default: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// Tolerated difference between clocks, in seconds. Default 0.
    pub leeway_s: u64,
}

impl Default for Auth {
    fn default() -> Self {
        Auth {
            jwt_secret: Secrets::default(),
            public_keys: Vec::new(),
            jwks_url: None,
            jwks_ca_file: None,
            user_claims: ["id", "sub", "userId"].map(String::from).into(),
            issuer: None,
            audience: None,
            leeway_s: 0,
        }
    }
}

impl Auth {
    pub(super) fn check(&self) -> Result<(), InvalidSetting> {
        self.build().map(drop)
    }

    /// Builds the verifier of tokens; `None` if no token can be accepted.
    pub fn verifier(&self) -> Result<Option<Jwt>, ConfigError> {
        Ok(self.build()?)
    }

    fn build(&self) -> Result<Option<Jwt>, InvalidSetting> {
        let bad = |key: &str, expected: &str, error: &dyn fmt::Display| {
            InvalidSetting::new(key, format!("expected {expected}: {error}"))
        };
        let mut jwt = Jwt::new().with_leeway(Duration::from_secs(self.leeway_s));
        jwt = jwt.with_user_claims(&self.user_claims);
        for secret in self.jwt_secret.iter() {
            if secret.reveal().is_empty() {
                return Err(InvalidSetting::new("auth.jwt_secret", "expected a secret that is not empty"));
            }
            jwt = jwt.with_secret(secret.reveal());
        }
        for pem in &self.public_keys {
            let with_key = jwt.with_public_key(pem);
            jwt = with_key.map_err(|error| bad("auth.public_keys", "public keys in PEM", &error))?;
        }
        if let Some(address) = &self.jwks_url {
            let root_certificates = self.jwks_ca_file.iter().map(|path| read("auth.jwks_ca_file", path));
            let root_certificates = root_certificates.collect::<Result<_, _>>()?;
            jwt = jwt
                .with_jwks_options(address, JwksOptions { root_certificates, ..JwksOptions::default() })
                .map_err(|error| match error {
                    KeyError::RootCertificate(error) => {
                        bad("auth.jwks_ca_file", "certificates in PEM", &error)
                    }
                    error => bad("auth.jwks_url", "an https or http address", &error),
                })?;
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

#[cfg(test)]
mod tests {
    use super::super::Config;

    #[test]
    fn an_unusable_file_of_certificate_authorities_is_reported_with_its_key() {
        let url = "auth.jwks_url=https://login.example/keys";
        for file in ["/no/such/file", "Cargo.toml"] {
            let sets = [url.to_owned(), format!("auth.jwks_ca_file={file}")];
            let error = Config::load(None, &sets).unwrap_err().to_string();
            assert!(error.contains("auth.jwks_ca_file"), "{error}");
        }
    }
}
