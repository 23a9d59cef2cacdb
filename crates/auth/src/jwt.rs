//! Verification of tokens: the choice of keys, the claims, the user.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Header, Validation};
use serde_json::{Map, Value, json};
use switchboard::{IdentifyError, Identity, Payload, ProjectId, UserId, Verifier, VerifyFuture};

use crate::error::{KeyError, TokenError};
use crate::jwks::{Jwks, JwksOptions};
use crate::key::Key;

/// Verifies JSON Web Tokens.
///
/// Accepts HS256 with a secret, and RS256, ES256 and EdDSA with a public key or a key set. `exp` and `nbf`
/// are checked if present. The user id is the first user claim that is a non-empty text or a number.
#[derive(Clone)]
pub struct Jwt {
    keys: Vec<Key>,
    jwks: Vec<Arc<Jwks>>,
    user_claims: Vec<String>,
    issuer: Option<String>,
    audience: Option<String>,
    leeway: Duration,
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
            user_claims: ["id", "sub", "userId"].map(String::from).into(),
            issuer: None,
            audience: None,
            leeway: Duration::ZERO,
        }
    }

    /// Accepts HS256 tokens signed with this secret. May be called several times. To rotate a secret, add the
    /// new one, sign with it, and remove the old one when its last token has expired.
    pub fn with_secret(mut self, secret: &str) -> Self {
        self.keys.push(Key::from_secret(secret));
        self
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
        self.user_claims = claims.into_iter().map(Into::into).collect();
        self
    }

    /// Accepts only tokens of this issuer (`iss`). Default: any issuer.
    pub fn with_issuer(mut self, issuer: &str) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Accepts only tokens for this audience (`aud`). Default: any audience.
    pub fn with_audience(mut self, audience: &str) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// Sets the tolerance for clock differences. Default 0 s.
    pub fn with_leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Verifies a token and returns its user.
    pub async fn identify(&self, token: &str) -> Result<Identity, TokenError> {
        let header = jsonwebtoken::decode_header(token).map_err(|error| header_error(&error))?;
        let mut outcome = Err(TokenError::Algorithm);
        for key in self.keys.iter().filter(|key| key.algorithm == header.alg) {
            outcome = self.claims(token, key);
            if !matches!(outcome, Err(TokenError::Signature)) {
                break;
            }
        }
        if matches!(outcome, Err(TokenError::Algorithm | TokenError::Signature)) {
            for set in &self.jwks {
                outcome = self.claims_by_set(set, token, &header).await;
                if !matches!(outcome, Err(TokenError::Signature | TokenError::KeysUnavailable(_))) {
                    break;
                }
            }
        }
        self.identity(&outcome?)
    }

    async fn claims_by_set(
        &self,
        set: &Jwks,
        token: &str,
        header: &Header,
    ) -> Result<Map<String, Value>, TokenError> {
        if !Key::JWK_ALGORITHMS.contains(&header.alg) {
            return Err(TokenError::Algorithm);
        }
        let keys = set.keys_for(header.kid.as_deref()).await.map_err(TokenError::KeysUnavailable)?;
        let may_match = |key: &&Key| header.kid.is_none() || key.id.is_none() || key.id == header.kid;
        let mut outcome = Err(TokenError::Signature);
        for key in keys.iter().filter(|key| key.algorithm == header.alg).filter(may_match) {
            outcome = self.claims(token, key);
            if !matches!(outcome, Err(TokenError::Signature)) {
                break;
            }
        }
        outcome
    }

    fn claims(&self, token: &str, key: &Key) -> Result<Map<String, Value>, TokenError> {
        let mut validation = Validation::new(key.algorithm);
        let mut required: Vec<&str> = Vec::new();
        validation.validate_nbf = true;
        validation.leeway = self.leeway.as_secs();
        validation.validate_aud = self.audience.is_some();
        if let Some(audience) = &self.audience {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        if let Some(issuer) = &self.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        validation.set_required_spec_claims(&required);
        match jsonwebtoken::decode(token, &key.key, &validation) {
            Ok(token) => Ok(token.claims),
            Err(error) => Err(match error.kind() {
                ErrorKind::InvalidSignature => TokenError::Signature,
                ErrorKind::ExpiredSignature => TokenError::Expired,
                ErrorKind::ImmatureSignature => TokenError::NotYetValid,
                ErrorKind::InvalidIssuer
                | ErrorKind::InvalidAudience
                | ErrorKind::MissingRequiredClaim(_) => TokenError::IssuerOrAudience,
                ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm => TokenError::Algorithm,
                _ => TokenError::Malformed,
            }),
        }
    }

    fn identity(&self, claims: &Map<String, Value>) -> Result<Identity, TokenError> {
        let user_claim = |name| claims.get(name).and_then(|claim| Some((user_id(claim)?, claim)));
        let (user, claim) = self.user_claims.iter().find_map(user_claim).ok_or(TokenError::NoUser)?;
        let user = UserId::new(&user)?;
        let profile = Payload::of(&json!({ "id": claim })).ok();
        // A time beyond the range of the clock means no expiry.
        let seconds = claims.get("exp").and_then(Value::as_f64).map(Duration::try_from_secs_f64);
        let expires = seconds.and_then(|end| UNIX_EPOCH.checked_add(end.ok()?.saturating_add(self.leeway)));
        match expires {
            Some(end) if end <= SystemTime::now() => Err(TokenError::Expired),
            expires => Ok(Identity { user, expires, profile }),
        }
    }
}

/// The error for an unreadable header. An unknown algorithm makes the header unreadable, too.
fn header_error(error: &jsonwebtoken::errors::Error) -> TokenError {
    match error.kind() {
        ErrorKind::Json(error) if error.is_data() && error.to_string().contains("unknown variant") => {
            TokenError::Algorithm
        }
        _ => TokenError::Malformed,
    }
}

/// A non-empty text, or a number in decimal notation.
fn user_id(claim: &Value) -> Option<String> {
    match claim {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(match number.as_f64() {
            // As in JavaScript, where 7 and 7.0 are the same number.
            Some(whole) if whole.fract() == 0.0 && whole.abs() < 9e15 => format!("{whole:.0}"),
            _ => number.to_string(),
        }),
        _ => None,
    }
}

impl Verifier for Jwt {
    fn verify<'a>(&'a self, _project: &'a ProjectId, token: &'a str) -> VerifyFuture<'a> {
        Box::pin(async move {
            self.identify(token).await.map_err(|error| match error {
                TokenError::KeysUnavailable(_) => IdentifyError::Unavailable(error.into()),
                error => IdentifyError::refused("jwt", error),
            })
        })
    }
}
