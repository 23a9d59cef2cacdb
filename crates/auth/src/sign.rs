//! Signing tokens, for tests and for backends without a JSON Web Token library.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value};

use crate::claims::TIME_MAX_S;
use crate::secret::SECRET_BYTES_MIN;

/// Why a token could not be signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The secret is shorter than [`SECRET_BYTES_MIN`].
    #[error("secret of {bytes} bytes; HS256 needs at least {SECRET_BYTES_MIN}")]
    ShortSecret {
        /// The length of the secret.
        bytes: usize,
    },
    /// The token would expire after the year 9999. A token without a lifetime never expires.
    #[error("token would expire after the year 9999")]
    Lifetime,
    /// The claims could not be signed.
    #[error("token could not be signed")]
    Sign(#[from] jsonwebtoken::errors::Error),
}

/// Signs a token with a secret (HS256) of at least [`SECRET_BYTES_MIN`]. The token has the user in `id`, the expiry in `exp` if a
/// lifetime is given, and the additional `claims`.
///
/// ```
/// # use std::time::Duration;
/// let secret = "a long random text: openssl rand -hex 32";
/// let token = switchboard_auth::sign(secret, "7", Some(Duration::from_secs(3600)), Default::default())?;
/// # Ok::<(), switchboard_auth::SignError>(())
/// ```
pub fn sign(
    secret: &str,
    user: &str,
    lifetime: Option<Duration>,
    mut claims: Map<String, Value>,
) -> Result<String, SignError> {
    if secret.len() < SECRET_BYTES_MIN {
        return Err(SignError::ShortSecret { bytes: secret.len() });
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    claims.insert("id".into(), user.into());
    claims.insert("iat".into(), now.as_secs().into());
    if let Some(lifetime) = lifetime {
        // Rounded down: a token must not be valid for longer than requested.
        let end = now.saturating_add(lifetime).as_secs();
        if end > TIME_MAX_S {
            return Err(SignError::Lifetime);
        }
        claims.insert("exp".into(), end.into());
    }
    crate::crypto::install_crypto_provider();
    let key = EncodingKey::from_secret(secret.as_bytes());
    Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)?)
}
