//! Verifiers: what an app provides so that clients can log in with tokens.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime};

use switchboard_event::{Payload, ProjectId, Rights, TokenId, UserId, unix_ms};
use switchboard_hub::JoinError;

use crate::node::errors::RateLimited;

/// The result of verifying a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub user: UserId,
    /// Time at which the token expires and the socket is logged out. `None` means never.
    pub expires: Option<SystemTime>,
    /// A JSON object with data of the user, sent to the client by protocols that do so. `None` means
    /// `{"id":…}` with the id as a string.
    pub profile: Option<Payload>,
    /// What the socket may do beyond the rule of the app, such as the rights in the claim `can` of a token. `None` means
    /// that the token gives no rights of its own.
    pub rights: Option<Arc<Rights>>,
    /// The id of the token, by which it can be [revoked](crate::App::revoke). `None` if it has none.
    pub token_id: Option<TokenId>,
    /// Time at which the token was issued. `None` counts as issued before any revocation of the user's tokens.
    pub issued: Option<SystemTime>,
}

impl Identity {
    /// The identity of a user, without expiry, profile, rights, token id and time of issue.
    pub fn new(user: UserId) -> Self {
        Identity { user, expires: None, profile: None, rights: None, token_id: None, issued: None }
    }

    /// The time of issue in ms since 1970; 0 if it is not known.
    pub(crate) fn issued_ms(&self) -> u64 {
        self.issued.map_or(0, unix_ms)
    }
}

/// Authentication failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentifyError {
    /// The client sent no token.
    #[error("no token was sent")]
    NoToken,
    /// The token is longer than [`Limits::token_bytes_max`](crate::Limits::token_bytes_max), so it was not
    /// verified.
    #[error("the token is longer than {max} bytes")]
    TooLong {
        /// The limit.
        max: usize,
    },
    /// The app has no [`Verifier`].
    #[error("the app has no verifier for tokens")]
    NoVerifier,
    /// The verifier refused the token. Made by [`refused`](Self::refused).
    #[error("the token was refused")]
    Refused {
        /// A label for metrics.
        reason: &'static str,
        /// The verifier's error.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The verifier could not verify the token, for example because its keys are not available.
    #[error("the token could not be verified")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// The verifier did not finish within [`Limits::token_timeout`](crate::Limits::token_timeout).
    #[error("the token was not verified within {0:?}")]
    Timeout(Duration),
    /// The token has expired.
    #[error("the token has expired")]
    Expired,
    /// The token was [revoked](crate::App::revoke).
    #[error("the token was revoked")]
    Revoked,
    /// The client shows tokens more often than a rate rule for `@login` allows.
    #[error(transparent)]
    RateLimited(#[from] RateLimited),
    /// A newer token of the same client took its place before it was verified.
    #[error("the client sent newer tokens")]
    Superseded,
    /// The socket has too many memberships, or has closed.
    #[error(transparent)]
    Join(#[from] JoinError),
}

impl IdentifyError {
    /// The verifier refused the token. The reason is a label of `switchboard_tokens_refused_total`, so there
    /// must be few.
    pub fn refused(reason: &'static str, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        IdentifyError::Refused { reason, source: error.into() }
    }

    /// The reason as a label of metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            IdentifyError::NoToken => "no_token",
            IdentifyError::TooLong { .. } => "too_long",
            IdentifyError::NoVerifier => "no_verifier",
            IdentifyError::Refused { reason, .. } => reason,
            IdentifyError::Unavailable(_) => "unavailable",
            IdentifyError::Timeout(_) => "timeout",
            IdentifyError::Expired => "expired",
            IdentifyError::Revoked => "revoked",
            IdentifyError::RateLimited(_) => "rate_limited",
            IdentifyError::Superseded => "superseded",
            IdentifyError::Join(JoinError::Closed) => "closed",
            IdentifyError::Join(_) => "memberships",
        }
    }
}

/// The future of [`Verifier::verify`].
pub type VerifyFuture<'a> = Pin<Box<dyn Future<Output = Result<Identity, IdentifyError>> + Send + 'a>>;

/// Verifies tokens. Implemented by every `async fn(String) -> Result<Identity, E>`.
///
/// Tokens must be too long to guess. Attempts of one address are slowed down but not refused, because many
/// clients may share it.
///
/// ```
/// use switchboard::{App, Identity, UserId};
///
/// // Accepts any token: for examples only.
/// let app = App::new().with_verifier(async |token: String| {
///     UserId::new(&token).map(Identity::new)
/// });
/// ```
pub trait Verifier: Send + Sync + 'static {
    /// Verifies one token that a socket of the project has sent. May wait, for example to fetch keys. A panic
    /// counts as a refusal. Dropped when the socket closes.
    fn verify<'a>(&'a self, project: &'a ProjectId, token: &'a str) -> VerifyFuture<'a>;
}

impl<F, Fut, E> Verifier for F
where
    F: Fn(String) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Identity, E>> + Send + 'static,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    fn verify<'a>(&'a self, _project: &'a ProjectId, token: &'a str) -> VerifyFuture<'a> {
        let identity = self(token.to_owned());
        Box::pin(async { identity.await.map_err(|error| IdentifyError::refused("verifier", error)) })
    }
}

/// An app with this part answers tokens of handshakes also while it has no verifier.
pub(crate) struct AnswersTokens;

/// The app's verifier, which can be replaced.
#[derive(Default)]
pub(crate) struct CurrentVerifier(RwLock<Option<Arc<dyn Verifier>>>);

impl CurrentVerifier {
    pub(crate) fn get(&self) -> Option<Arc<dyn Verifier>> {
        self.0.read().expect("no code that holds the verifier panics").clone()
    }

    pub(crate) fn set(&self, verifier: Option<Arc<dyn Verifier>>) {
        *self.0.write().expect("no code that holds the verifier panics") = verifier;
    }
}
