//! The verifier: its keys and rules, and the choice of keys for a token.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};
use switchboard::access::{Verifier, VerifyFuture};
use switchboard::{Identity, ProjectId};

use crate::claims::Rules;
use crate::error::{KeyError, TokenError};
use crate::jwks::{Jwks, JwksOptions};
use crate::key::Key;
use crate::token::Token;

/// Verifies JSON Web Tokens.
///
/// Accepts HS256 with a secret, and RS256, ES256 and EdDSA with a public key or a key set. `exp` and `nbf`
/// are checked if present. The user id is the first user claim that is a non-empty text or a number.
///
/// Refuses tokens that could be read in another way than their signer meant: with the header parameters
/// `crit`, `b64` or `zip`, of another type (`typ`) than `JWT` and `at+jwt`, with two members of one name, or
/// with a registered claim of the wrong type.
#[derive(Clone)]
pub struct Jwt {
    keys: Vec<Key>,
    jwks: Vec<Arc<Jwks>>,
    rules: Rules,
    /// `None` means any project.
    projects: Option<Vec<ProjectId>>,
}

impl Default for Jwt {
    fn default() -> Self {
        Jwt::new()
    }
}

impl Jwt {
    /// A verifier without keys. It refuses every token.
    pub fn new() -> Self {
        crate::crypto::install_crypto_provider();
        Jwt {
            keys: Vec::new(),
            jwks: Vec::new(),
            rules: Rules {
                user_claims: ["id", "sub", "userId"].map(String::from).into(),
                issuer: None,
                audience: None,
                leeway: Duration::ZERO,
            },
            projects: None,
        }
    }

    /// Accepts HS256 tokens signed with this secret, of at least [`SECRET_BYTES_MIN`](crate::SECRET_BYTES_MIN).
    /// May be called several times. To rotate a secret, add the new one, sign with it, and remove the old one
    /// when its last token has expired.
    pub fn with_secret(mut self, secret: &str) -> Result<Self, KeyError> {
        self.keys.push(Key::from_secret(secret)?);
        Ok(self)
    }

    /// Accepts tokens of a public key in PEM: RS256 with RSA, ES256 with P-256, EdDSA with Ed25519.
    pub fn with_public_key(mut self, pem: &str) -> Result<Self, KeyError> {
        self.keys.push(Key::from_pem(pem)?);
        Ok(self)
    }

    /// Accepts tokens of the keys in a key set (RFC 7517). The set is fetched on first use, after ten minutes,
    /// and when a token names an unknown key, at most every ten seconds. If a fetch fails, the last good keys
    /// stay in use.
    pub fn with_jwks(self, url: &str) -> Result<Self, KeyError> {
        self.with_jwks_options(url, JwksOptions::default())
    }

    /// [`with_jwks`](Self::with_jwks) with other fetch intervals, or with further root certificates.
    pub fn with_jwks_options(mut self, url: &str, options: JwksOptions) -> Result<Self, KeyError> {
        self.jwks.push(Arc::new(Jwks::new(url, options)?));
        Ok(self)
    }

    /// Sets the claims that may hold the user id, in order of preference. Default `id`, `sub`, `userId`.
    pub fn with_user_claims(mut self, claims: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.rules.user_claims = claims.into_iter().map(Into::into).collect();
        self
    }

    /// Accepts only tokens of this issuer (`iss`). Default: any issuer.
    pub fn with_issuer(mut self, issuer: &str) -> Self {
        self.rules.issuer = Some(issuer.into());
        self
    }

    /// Accepts only tokens for this audience (`aud`). Default: any audience.
    pub fn with_audience(mut self, audience: &str) -> Self {
        self.rules.audience = Some(audience.into());
        self
    }

    /// Sets the tolerance for clock differences. Default 0 s.
    pub fn with_leeway(mut self, leeway: Duration) -> Self {
        self.rules.leeway = leeway;
        self
    }

    /// Accepts tokens only for sockets of these projects. Default: any project.
    pub fn with_projects(mut self, projects: impl IntoIterator<Item = ProjectId>) -> Self {
        self.projects = Some(projects.into_iter().collect());
        self
    }

    /// Returns true if tokens are accepted for sockets of the project.
    pub(crate) fn covers(&self, project: &ProjectId) -> bool {
        self.projects.as_ref().is_none_or(|projects| projects.contains(project))
    }

    /// Verifies a token for a socket of any project and returns its user.
    pub async fn identify(&self, token: &str) -> Result<Identity, TokenError> {
        let token = Token::parse(token)?;
        let mut claims = verify_with(&token, &self.keys).unwrap_or(Err(TokenError::Algorithm));
        let is_other_key = matches!(claims, Err(TokenError::Algorithm | TokenError::Signature));
        if is_other_key && Key::JWK_ALGORITHMS.contains(&token.algorithm) {
            for set in &self.jwks {
                claims = verify_with_set(&token, set).await;
                if !matches!(claims, Err(TokenError::Signature | TokenError::KeysUnavailable(_))) {
                    break;
                }
            }
        }
        self.rules.check(&claims?, SystemTime::now())
    }
}

/// Verifies a token with the keys of its algorithm. Returns `None` if there are none.
fn verify_with<'a>(
    token: &Token<'_>,
    keys: impl IntoIterator<Item = &'a Key>,
) -> Option<Result<Map<String, Value>, TokenError>> {
    let mut claims = None;
    for key in keys.into_iter().filter(|key| key.algorithm == token.algorithm) {
        let verified = token.verify(key);
        let is_other_key = matches!(verified, Err(TokenError::Signature));
        claims = Some(verified);
        if !is_other_key {
            break;
        }
    }
    claims
}

async fn verify_with_set(token: &Token<'_>, set: &Jwks) -> Result<Map<String, Value>, TokenError> {
    let keys = set.keys_for(token.key_id.as_deref()).await.map_err(TokenError::KeysUnavailable)?;
    let may_match = |key: &&Key| token.key_id.is_none() || key.id.is_none() || key.id == token.key_id;
    verify_with(token, keys.iter().filter(may_match)).unwrap_or(Err(TokenError::Signature))
}

impl Verifier for Jwt {
    fn verify<'a>(&'a self, project: &'a ProjectId, token: &'a str) -> VerifyFuture<'a> {
        Box::pin(async move {
            if !self.covers(project) {
                return Err(TokenError::Project.into());
            }
            Ok(self.identify(token).await?)
        })
    }
}
