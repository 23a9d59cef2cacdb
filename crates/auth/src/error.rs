//! Errors of tokens, keys and key sets.

use std::sync::Arc;

use switchboard::access::RightsError;
use switchboard::{IdentifyError, NameError};

use crate::secret::SECRET_BYTES_MIN;

/// Why a token identifies no user.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The text is not a JSON Web Token: three parts in Base64, the first two of them JSON objects without
    /// duplicate members.
    #[error("not a valid JSON Web Token")]
    Malformed,
    /// A header parameter has a value that the server does not support.
    #[error("header parameter `{0}` is not supported")]
    Header(&'static str),
    /// A registered claim has the wrong type, or a time is before 1970 or after the year 9999.
    #[error("claim `{0}` is not valid")]
    Claim(&'static str),
    /// The algorithm is `none`, unknown, or not the algorithm of any configured key.
    #[error("signature algorithm not accepted")]
    Algorithm,
    /// No configured key verifies the signature.
    #[error("signature does not match any known key")]
    Signature,
    /// The expiry time (`exp`) has passed.
    #[error("token has expired")]
    Expired,
    /// The start time (`nbf`) has not been reached.
    #[error("token is not valid yet")]
    NotYetValid,
    /// The issuer (`iss`) differs from the configured one, or is missing.
    #[error("token has a different issuer")]
    Issuer,
    /// The audiences (`aud`) do not include the configured one.
    #[error("token has a different audience")]
    Audience,
    /// None of the user claims is present.
    #[error("token identifies no user")]
    NoUser,
    /// The user id is too long.
    #[error("user id is invalid")]
    User(#[from] NameError),
    /// The claim `can` contains no valid rights.
    #[error("claim `can` is not valid")]
    Rights(#[from] RightsError),
    /// No issuer accepts tokens for the project of the socket.
    #[error("no key for this project accepts the token")]
    Project,
    /// The key set could not be fetched, and none was fetched before.
    #[error("keys are not available")]
    KeysUnavailable(#[source] Arc<JwksError>),
}

impl TokenError {
    /// The reason as a label of metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            TokenError::Malformed => "malformed",
            TokenError::Header(_) => "header",
            TokenError::Claim(_) | TokenError::Rights(_) => "claim",
            TokenError::Algorithm => "algorithm",
            TokenError::Signature => "signature",
            TokenError::Expired => "expired",
            TokenError::NotYetValid => "not_yet_valid",
            TokenError::Issuer => "issuer",
            TokenError::Audience => "audience",
            TokenError::NoUser => "no_user",
            TokenError::User(_) => "user",
            TokenError::Project => "project",
            TokenError::KeysUnavailable(_) => "unavailable",
        }
    }
}

impl From<TokenError> for IdentifyError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::KeysUnavailable(_) => IdentifyError::Unavailable(error.into()),
            error => IdentifyError::refused(error.reason(), error),
        }
    }
}

/// Why a key or the URL of a key set is not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A secret is shorter than [`SECRET_BYTES_MIN`].
    #[error("secret of {bytes} bytes; HS256 needs at least {SECRET_BYTES_MIN}")]
    ShortSecret {
        /// The length of the secret.
        bytes: usize,
    },
    /// The text is not the PEM encoding of an RSA, P-256 or Ed25519 public key.
    #[error("not the PEM encoding of an RSA, P-256 or Ed25519 public key")]
    Pem,
    /// The URL of the key set is invalid or does not use HTTP.
    #[error("`{0}` is not an http or https URL")]
    Url(String),
    /// The HTTP client could not be created.
    #[error("HTTP client could not be created")]
    Client(#[source] JwksError),
    /// A root certificate of the key set's options is not valid.
    #[error("root certificates of the key set are not accepted")]
    RootCertificate(#[from] switchboard_tls::RootCertificateError),
}

/// Longest key set that is read, in bytes.
pub(crate) const JWKS_BYTES_MAX: usize = 1024 * 1024;

/// Why a key set could not be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JwksError {
    /// The request failed or returned an error status.
    #[error("request for the key set failed")]
    Fetch(#[from] reqwest::Error),
    /// The response is longer than 1 MiB.
    #[error("key set exceeds {JWKS_BYTES_MAX} bytes")]
    TooLong,
    /// The response is not a JSON Web Key Set.
    #[error("response is not a JSON Web Key Set")]
    Format(#[source] serde_json::Error),
}
