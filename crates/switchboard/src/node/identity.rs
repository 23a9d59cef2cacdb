//! Authentication: verifies tokens, logs sockets in as their users, and logs them out at expiry.

use std::error::Error;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use serde_json::json;
use switchboard_backplane::ClientAction;
use switchboard_event::{Payload, Target, UserId, unix_ms};
use switchboard_hub::{JoinError, Session};
use switchboard_log::{limited, printable};

use crate::node::Node;
use crate::node::clock::{now, now_ms};
use crate::node::conn::Conn;
use crate::node::inbox;
use crate::node::inbox::backlog::Backlog;
use crate::node::inbox::paused::PausedOutbox;
use crate::node::reports::report;
use crate::node::system_events::SystemEvent;
use crate::node::tasks::panic_message;

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
}

/// Authentication failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentifyError {
    /// The client sent no token.
    #[error("no token was sent")]
    NoToken,
    /// The app has no [`Verifier`].
    #[error("the app has no verifier for tokens")]
    NoVerifier,
    /// The verifier refused the token.
    #[error("the token was refused")]
    Refused(#[source] Box<dyn Error + Send + Sync>),
    /// Too many tokens from this address were refused, so this one was not verified.
    #[error("too many tokens from this address were refused")]
    TooMany,
    /// The token has expired.
    #[error("the token has expired")]
    Expired,
    /// The socket has too many memberships, or has closed.
    #[error(transparent)]
    Join(#[from] JoinError),
}

/// The future of [`Verifier::verify`].
pub type VerifyFuture<'a> = Pin<Box<dyn Future<Output = Result<Identity, IdentifyError>> + Send + 'a>>;

/// Verifies tokens. Implemented by every `async fn(String) -> Result<Identity, E>`.
///
/// ```
/// use switchboard::{App, Identity, UserId};
///
/// // Accepts any token: for examples only.
/// let app = App::new().with_verifier(async |token: String| {
///     UserId::new(&token).map(|user| Identity { user, expires: None, profile: None })
/// });
/// ```
pub trait Verifier: Send + Sync + 'static {
    /// Verifies one token. May wait, for example to fetch keys. A panic counts as a refusal.
    fn verify<'a>(&'a self, token: &'a str) -> VerifyFuture<'a>;
}

impl<F, Fut, E> Verifier for F
where
    F: Fn(String) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Identity, E>> + Send + 'static,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    fn verify<'a>(&'a self, token: &'a str) -> VerifyFuture<'a> {
        let identity = self(token.to_owned());
        Box::pin(async { identity.await.map_err(|error| IdentifyError::Refused(error.into())) })
    }
}

/// The identity of an accepted token, and the redelivery of the user's inbox if the app has one.
pub(crate) type LoggedIn = (Identity, Option<Backlog>);

/// Verifies a token and logs the socket in as its user, replacing the user of an earlier token. A missing
/// token counts as refused.
pub(crate) async fn identify(
    node: &Arc<Node>,
    session: &Arc<Session>,
    verifier: Option<Arc<dyn Verifier>>,
    token: Option<&str>,
) -> Result<LoggedIn, IdentifyError> {
    let verifier = verifier.ok_or(IdentifyError::NoVerifier)?;
    let (refused, limits, ip) = (&node.refused_tokens, node.limits(), Conn::of(session).info.ip());
    if !refused.may_try(ip, limits, now()) {
        node.meters().token("rate_limited");
        return Err(IdentifyError::TooMany);
    }
    let identity = match token {
        Some(token) => verify(&*verifier, token).await,
        None => Err(IdentifyError::NoToken),
    };
    let login = identity.and_then(|identity| log_in(node, session, identity));
    if login.is_err() {
        refused.count(ip, limits, now());
    }
    let outcome = if login.is_ok() { "accepted" } else { "refused" };
    node.meters().token(outcome);
    login
}

/// Calls the `@authenticated` hooks.
pub(crate) fn notify_authenticated(node: &Node, session: &Arc<Session>, user: &UserId) {
    if let Some(hooks) = node.hooks(SystemEvent::Authenticated) {
        let data = Payload::of(&json!({ "user": user })).expect("a string serializes as JSON");
        hooks.notify_client_event(SystemEvent::Authenticated, session, data);
    }
}

/// Calls the verifier. A panic is caught and refuses the token, so that the client gets an answer.
async fn verify(verifier: &dyn Verifier, token: &str) -> Result<Identity, IdentifyError> {
    let identity = AssertUnwindSafe(async { verifier.verify(token).await }).catch_unwind().await;
    identity.unwrap_or_else(|panic| {
        limited!(ERROR, panic = printable(panic_message(&*panic)), "verifier panicked; the token is refused");
        Err(IdentifyError::Refused("the verifier panicked".into()))
    })
}

fn log_in(node: &Arc<Node>, session: &Arc<Session>, identity: Identity) -> Result<LoggedIn, IdentifyError> {
    let paused = PausedOutbox::begin(node, session);
    bind(node, session, &identity)?;
    report(node, session, ClientAction::Authenticated);
    let backlog = paused.map(|paused| Backlog::new(paused, identity.user.clone()));
    Ok((identity, backlog))
}

/// Binds a socket to the user of its token, replacing an earlier binding.
fn bind(node: &Node, session: &Arc<Session>, identity: &Identity) -> Result<(), IdentifyError> {
    let expires_ms = identity.expires.map(unix_ms);
    if expires_ms.is_some_and(|end| end <= now_ms()) {
        return Err(IdentifyError::Expired);
    }
    // Locked during the join: if the socket is removed concurrently, either the join fails or `remove`
    // runs after it.
    let mut bindings = node.token_bindings.lock();
    let previous = bindings.user(session.id);
    let user = identity.user.clone();
    node.hub().join(session, &Target::User(user.clone()))?;
    if let Some(previous) = previous.filter(|previous| *previous != user) {
        inbox::log_out(node, session, &previous);
    }
    bindings.bind(session.id, user, expires_ms);
    Ok(())
}

/// Interval at which expired tokens are logged out.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(1);

/// Logs sockets out when their tokens expire.
pub(crate) async fn run_expiry(node: Arc<Node>) {
    let mut ticks = tokio::time::interval(EXPIRY_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // Locked during the logouts, so that they do not undo a concurrent login with a new token.
        let mut bindings = node.token_bindings.lock();
        for (id, user) in bindings.take_expired(now_ms()) {
            if let Some(session) = node.hub().index().session(id) {
                inbox::log_out(&node, &session, &user);
            }
        }
    }
}
