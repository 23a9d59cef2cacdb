//! Signing tokens, for tests and for backends without a JSON Web Token library.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value};

/// Why a token could not be signed.
#[derive(Debug, thiserror::Error)]
#[error("token could not be signed")]
pub struct SignError(#[from] jsonwebtoken::errors::Error);

/// Signs a token with a secret (HS256). It holds the user in `id`, the expiry in `exp` if a lifetime is given,
/// and the additional `claims`.
///
/// ```
/// # use std::time::Duration;
/// let token = switchboard_auth::sign("a long random secret", "7", Some(Duration::from_secs(3600)), Default::default())?;
/// # Ok::<(), switchboard_auth::SignError>(())
/// ```
pub fn sign(
    secret: &str,
    user: &str,
    lifetime: Option<Duration>,
    mut claims: Map<String, Value>,
) -> Result<String, SignError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    claims.insert("id".into(), user.into());
    claims.insert("iat".into(), now.as_secs().into());
    if let Some(lifetime) = lifetime {
        claims.insert("exp".into(), now.saturating_add(lifetime).as_secs().into());
    }
    crate::crypto::install_crypto_provider();
    let key = EncodingKey::from_secret(secret.as_bytes());
    Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)?)
}
