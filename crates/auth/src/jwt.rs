//! Looking at a token: which key, which algorithm, which user.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use serde_json::{Map, Value, json};
use switchboard::{IdentifyError, Identity, Name, NameError, Payload, Verdict, Verifier};

use crate::jwks::{Jwks, JwksError, Pace};

/// Why a token names nobody.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It has not the shape of a token, or its claims have not theirs.
    #[error("not a JSON Web Token")]
    Malformed,
    /// Its algorithm is `none`, unknown, or one that no key here is for.
    #[error("its algorithm is not accepted here")]
    Algorithm,
    /// No key here has signed it.
    #[error("its signature is not of a key known here")]
    Signature,
    /// Its time is over (`exp`).
    #[error("it has expired")]
    Expired,
    /// Its time has not come (`nbf`).
    #[error("it is not valid yet")]
    NotYet,
    /// It is of another issuer, or for another audience.
    #[error("it is of another issuer or for another audience")]
    NotForUs,
    /// None of the claims that can name a user does.
    #[error("it names no user")]
    NoUser,
    /// The user's id is too long.
    #[error("the user's id cannot be used")]
    User(#[from] NameError),
    /// The keys could not be fetched, and there are none from before.
    #[error("the keys are not there")]
    NoKeys(#[source] Arc<JwksError>),
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// It is no PEM of an RSA, P-256 or Ed25519 public key.
    #[error("not the PEM of an RSA, P-256 or Ed25519 public key")]
    Pem,
    /// The address of the key set is none.
    #[error("`{0}` is no http or https address")]
    Address(String),
    /// The client that would fetch keys cannot be made.
    #[error("keys cannot be fetched")]
    Client(#[source] JwksError),
}

/// A key and the one algorithm it is for.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) algorithm: Algorithm,
    pub(crate) id: Option<String>,
    pub(crate) key: DecodingKey,
}

/// Verifies JSON Web Tokens.
///
/// Accepted are HS256 by a secret, and RS256, ES256 and EdDSA by a public key or a key set. `exp` and
/// `nbf` are honoured where they are. The user is what the first of the user claims names, a text or
/// a number.
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
    /// A verifier without keys: it refuses everything.
    pub fn new() -> Self {
        crate::install_crypto_provider();
        Jwt {
            keys: Vec::new(),
            jwks: Vec::new(),
            user_claims: ["id", "sub", "userId"].map(String::from).into(),
            issuer: None,
            audience: None,
            leeway: Duration::ZERO,
        }
    }

    /// Accepts HS256 tokens signed with this secret. With several, any will do: add the new one,
    /// sign with it, and take the old one away when its last token has expired.
    pub fn with_secret(mut self, secret: &str) -> Self {
        let key = DecodingKey::from_secret(secret.as_bytes());
        self.keys.push(Key { algorithm: Algorithm::HS256, id: None, key });
        self
    }

    /// Accepts tokens of a public key in PEM: RS256 of RSA, ES256 of P-256, EdDSA of Ed25519.
    pub fn with_public_key(mut self, pem: &str) -> Result<Self, KeyError> {
        let pem = pem.as_bytes();
        let rsa = DecodingKey::from_rsa_pem(pem).map(|key| (Algorithm::RS256, key));
        let p256 = || DecodingKey::from_ec_pem(pem).map(|key| (Algorithm::ES256, key));
        let ed25519 = || DecodingKey::from_ed_pem(pem).map(|key| (Algorithm::EdDSA, key));
        let read = rsa.or_else(|_| p256()).or_else(|_| ed25519());
        let (algorithm, key) = read.map_err(|_| KeyError::Pem)?;
        self.keys.push(Key { algorithm, id: None, key });
        Ok(self)
    }

    /// Accepts tokens of the keys that an address lists (RFC 7517). They are fetched when they are
    /// first needed, again after ten minutes, and when a token names a key that is not among them,
    /// at most every ten seconds. When that fails, the last good keys stay.
    pub fn with_jwks(self, address: &str) -> Result<Self, KeyError> {
        self.with_jwks_paced(address, Pace::default())
    }

    /// [`with_jwks`](Self::with_jwks) with a pace of its own.
    pub fn with_jwks_paced(mut self, address: &str, pace: Pace) -> Result<Self, KeyError> {
        self.jwks.push(Arc::new(Jwks::new(address, pace)?));
        Ok(self)
    }

    /// Sets which claims can name the user, the first that does counts. Default `id`, `sub`,
    /// `userId`.
    pub fn with_user_claims(mut self, claims: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.user_claims = claims.into_iter().map(Into::into).collect();
        self
    }

    /// Accepts only tokens of this issuer (`iss`). Default: of any.
    pub fn with_issuer(mut self, issuer: &str) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Accepts only tokens for this audience (`aud`). Default: for any.
    pub fn with_audience(mut self, audience: &str) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// How far clocks may differ. Default 0 s.
    pub fn with_leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Looks at a token.
    pub async fn look_at(&self, token: &str) -> Result<Identity, TokenError> {
        let header = jsonwebtoken::decode_header(token).map_err(|error| malformed(&error))?;
        let mut verdict = Err(TokenError::Algorithm);
        for key in self.keys.iter().filter(|key| key.algorithm == header.alg) {
            verdict = self.claims(token, key);
            if !matches!(verdict, Err(TokenError::Signature)) {
                break;
            }
        }
        if matches!(verdict, Err(TokenError::Algorithm | TokenError::Signature)) {
            for set in &self.jwks {
                verdict = self.claims_by(set, token, &header).await;
                if !matches!(verdict, Err(TokenError::Signature | TokenError::NoKeys(_))) {
                    break;
                }
            }
        }
        self.identity(&verdict?)
    }

    async fn claims_by(
        &self,
        set: &Jwks,
        token: &str,
        header: &Header,
    ) -> Result<Map<String, Value>, TokenError> {
        if !Jwks::ALGORITHMS.contains(&header.alg) {
            return Err(TokenError::Algorithm);
        }
        let keys = set.keys_for(header.kid.as_deref()).await.map_err(TokenError::NoKeys)?;
        let named = |key: &&Key| header.kid.is_none() || key.id.is_none() || key.id == header.kid;
        let mut verdict = Err(TokenError::Signature);
        for key in keys.iter().filter(|key| key.algorithm == header.alg).filter(named) {
            verdict = self.claims(token, key);
            if !matches!(verdict, Err(TokenError::Signature)) {
                break;
            }
        }
        verdict
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
                ErrorKind::ImmatureSignature => TokenError::NotYet,
                ErrorKind::InvalidIssuer
                | ErrorKind::InvalidAudience
                | ErrorKind::MissingRequiredClaim(_) => TokenError::NotForUs,
                ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm => TokenError::Algorithm,
                _ => TokenError::Malformed,
            }),
        }
    }

    fn identity(&self, claims: &Map<String, Value>) -> Result<Identity, TokenError> {
        let named = |name| claims.get(name).and_then(|claim| Some((user_of(claim)?, claim)));
        let (user, claim) = self.user_claims.iter().find_map(named).ok_or(TokenError::NoUser)?;
        let user = Name::new(&user)?;
        let profile = Payload::of(&json!({ "id": claim })).ok();
        // A time that no clock will show is as good as none.
        let seconds = claims.get("exp").and_then(Value::as_f64).map(Duration::try_from_secs_f64);
        let expires = seconds.and_then(|end| UNIX_EPOCH.checked_add(end.ok()?.saturating_add(self.leeway)));
        match expires {
            Some(end) if end <= SystemTime::now() => Err(TokenError::Expired),
            expires => Ok(Identity { user, expires, profile }),
        }
    }
}

/// A header that cannot be read; an algorithm that is unknown cannot either.
fn malformed(error: &jsonwebtoken::errors::Error) -> TokenError {
    match error.kind() {
        ErrorKind::Json(error) if error.is_data() && error.to_string().contains("unknown variant") => {
            TokenError::Algorithm
        }
        _ => TokenError::Malformed,
    }
}

/// A text, or a number as decimal text.
fn user_of(claim: &Value) -> Option<String> {
    match claim {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(match number.as_f64() {
            // As JavaScript writes it: 7 and 7.0 are the same user.
            Some(whole) if whole.fract() == 0.0 && whole.abs() < 9e15 => format!("{whole:.0}"),
            _ => number.to_string(),
        }),
        _ => None,
    }
}

impl Verifier for Jwt {
    fn verify<'a>(&'a self, token: &'a str) -> Verdict<'a> {
        Box::pin(
            async move { self.look_at(token).await.map_err(|error| IdentifyError::Refused(Box::new(error))) },
        )
    }
}
