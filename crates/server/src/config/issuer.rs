//! An issuer of tokens: its keys, and which of its tokens are accepted.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use switchboard::{NameError, ProjectId};
use switchboard_auth::{JwksOptions, Jwt, KeyError, SECRET_BYTES_MIN};

use super::error::InvalidSetting;
use super::file::read;
use super::secret::Secrets;

/// Settings of an issuer in `auth.issuers`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Issuer {
    /// Secrets of HS256 tokens, each of at least 32 bytes: one string, or a list to rotate them. Default none.
    #[serde(skip_serializing_if = "Secrets::is_empty")]
    pub jwt_secret: Secrets,
    /// Public keys in PEM: RSA for RS256, P-256 for ES256, Ed25519 for EdDSA. Default none.
    pub public_keys: Vec<String>,
    /// Address of a JSON Web Key Set, `https://…` or `http://…`. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// PEM file of certificate authorities that `jwks_url` may use in addition to Mozilla's. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_ca_file: Option<PathBuf>,
    /// Required issuer (`iss`) of a token. Default: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Required audience (`aud`) of a token. Default: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// Claims that can hold the user id; the first one that a token has is used. Default: `auth.user_claims`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_claims: Option<Vec<String>>,
    /// Projects whose clients the tokens log in. Default: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub projects: Option<Vec<String>>,
}

impl Issuer {
    /// Adds the keys to a verifier without keys; `None` if there are none. `section` is the key of these settings.
    pub(super) fn add_to(&self, rules: &Jwt, section: &str) -> Result<Option<Jwt>, InvalidSetting> {
        let bad = |key: &str, expected: &str, error: &dyn fmt::Display| {
            InvalidSetting::new(format!("{section}.{key}"), format!("expected {expected}: {error}"))
        };
        let mut jwt = rules.clone();
        for secret in self.jwt_secret.iter() {
            jwt = jwt.with_secret(secret.reveal()).map_err(|error| {
                let problem = format!("secrets of at least {SECRET_BYTES_MIN} bytes");
                bad("jwt_secret", &problem, &error).with_hint("`openssl rand -hex 32` prints a good one")
            })?;
        }
        for pem in &self.public_keys {
            let with_key = jwt.with_public_key(pem);
            jwt = with_key.map_err(|error| bad("public_keys", "public keys in PEM", &error))?;
        }
        if let Some(address) = &self.jwks_url {
            if address.contains('@') {
                let key = format!("{section}.jwks_url");
                let invalid = InvalidSetting::new(key, "expected an address without user and password");
                return Err(invalid.with_hint("a key set is public"));
            }
            let options = self.jwks_options(section)?;
            jwt = jwt.with_jwks_options(address, options).map_err(|error| match error {
                KeyError::RootCertificate(error) => bad("jwks_ca_file", "certificates in PEM", &error),
                error => bad("jwks_url", "an https or http address", &error),
            })?;
        }
        if let Some(issuer) = &self.issuer {
            jwt = jwt.with_issuer(issuer);
        }
        if let Some(audience) = &self.audience {
            jwt = jwt.with_audience(audience);
        }
        if let Some(claims) = &self.user_claims {
            if claims.is_empty() {
                let key = format!("{section}.user_claims");
                let invalid = InvalidSetting::new(key, "expected at least one claim");
                return Err(invalid.with_hint("leave it out to use those of auth.user_claims"));
            }
            jwt = jwt.with_user_claims(claims);
        }
        if let Some(projects) = &self.projects {
            let ids: Result<Vec<_>, NameError> = projects.iter().map(|id| ProjectId::new(id)).collect();
            jwt = jwt.with_projects(ids.map_err(|error| bad("projects", "project ids", &error))?);
        }
        Ok(self.has_keys().then_some(jwt))
    }

    pub(super) fn has_keys(&self) -> bool {
        !self.jwt_secret.is_empty() || !self.public_keys.is_empty() || self.jwks_url.is_some()
    }

    fn jwks_options(&self, section: &str) -> Result<JwksOptions, InvalidSetting> {
        let key = format!("{section}.jwks_ca_file");
        let root_certificates = self.jwks_ca_file.iter().map(|path| read(&key, path));
        let root_certificates = root_certificates.collect::<Result<_, _>>()?;
        Ok(JwksOptions { root_certificates, ..JwksOptions::default() })
    }
}
