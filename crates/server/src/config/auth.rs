//! Settings of identity: which tokens are accepted.

use std::fmt;
use std::time::Duration;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use switchboard_auth::Jwt;

use super::ConfigError;

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
        for Secret(secret) in &self.jwt_secret.0 {
            if secret.is_empty() {
                return Err(ConfigError::Value("auth.jwt_secret is empty".into()));
            }
            jwt = jwt.with_secret(secret);
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

/// A text that is never shown.
#[derive(Clone, PartialEq)]
pub struct Secret(String);

impl Secret {
    /// The text itself: only for what has to have it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

/// One secret or several.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Secrets(Vec<Secret>);

impl Secrets {
    /// The secrets, the newest first.
    pub fn iter(&self) -> impl Iterator<Item = &Secret> {
        self.0.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl<'de> Deserialize<'de> for Secrets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretsVisitor)
    }
}

/// Takes what an environment or a command line makes of a text of digits, too. Its errors do not
/// show the value.
struct SecretsVisitor;

const EXPECTED: &str = "a text or a list of texts, in quotes if it looks like something else";

impl<'de> Visitor<'de> for SecretsVisitor {
    type Value = Secrets;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_str<E>(self, text: &str) -> Result<Secrets, E> {
        Ok(Secrets(vec![Secret(text.into())]))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Secrets, E> {
        Ok(Secrets(vec![Secret(number.to_string())]))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Secrets, E> {
        Ok(Secrets(vec![Secret(number.to_string())]))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Secrets, E> {
        Err(E::custom(format!("expected {EXPECTED}")))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Secrets, E> {
        Err(E::custom(format!("expected {EXPECTED}")))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Secrets, A::Error> {
        let mut secrets = Vec::new();
        while let Some(Secrets(one)) = list.next_element()? {
            secrets.extend(one);
        }
        Ok(Secrets(secrets))
    }
}
