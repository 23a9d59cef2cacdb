//! Authentication: tokens, the users they name, and their expiry.

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

use crate::node::Node;
use crate::node::clock::{now, now_ms};
use crate::node::conn::Conn;
use crate::node::inbox;
use crate::node::inbox::backlog::Backlog;
use crate::node::inbox::paused::PausedOutbox;
use crate::node::reports::report;
use crate::node::system_events::SystemEvent;
use crate::node::tasks::panic_message;

/// The user that a token names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub user: UserId,
    /// When the token expires, and the socket is logged out. `None` means never.
    pub expires: Option<SystemTime>,
    /// An object that describes the user to its client, on protocols that send one. Default: `{"id":…}` with the id as text.
    pub profile: Option<Payload>,
}

/// Why a token binds nobody.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentifyError {
    /// Nothing was shown that could be a token.
    #[error("no token was shown")]
    NoToken,
    /// The app was given no [`Verifier`].
    #[error("no token is accepted here: the app has no verifier")]
    NoVerifier,
    /// The verifier refused it.
    #[error("the token was refused")]
    Refused(#[source] Box<dyn Error + Send + Sync>),
    /// Too many tokens of this address were refused; this one was not looked at.
    #[error("too many tokens of this address were refused")]
    TooMany,
    /// It has ended.
    #[error("the token has expired")]
    Expired,
    /// The socket cannot have one more membership, or has closed.
    #[error(transparent)]
    Join(#[from] JoinError),
}

/// What a verifier says of a token.
pub type VerifyFuture<'a> = Pin<Box<dyn Future<Output = Result<Identity, IdentifyError>> + Send + 'a>>;

/// Decides whom a token names. Every `async fn(String) -> Result<Identity, E>` is one.
///
/// ```
/// use switchboard::{App, Identity, UserId};
///
/// // Trusts anybody: for examples only.
/// let app = App::new().with_verifier(async |token: String| {
///     UserId::new(&token).map(|user| Identity { user, expires: None, profile: None })
/// });
/// ```
pub trait Verifier: Send + Sync + 'static {
    /// Looks at one token. May wait, such as for keys that have to be fetched. One that panics has refused it.
    fn verify<'a>(&'a self, token: &'a str) -> VerifyFuture<'a>;
}

impl<F, Fut, E> Verifier for F
where
    F: Fn(String) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Identity, E>> + Send + 'static,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    fn verify<'a>(&'a self, token: &'a str) -> VerifyFuture<'a> {
        let verdict = self(token.to_owned());
        Box::pin(async { verdict.await.map_err(|error| IdentifyError::Refused(error.into())) })
    }
}

/// An accepted token: its identity, and the redelivery of the user's inbox if the app has one.
pub(crate) type LoggedIn = (Identity, Option<Backlog>);

/// Has a token verified, and logs the socket in as the user that it names, in place of the user of an
/// earlier token. A missing token is refused as a bad one is.
pub(crate) async fn identify(
    node: &Arc<Node>,
    session: &Arc<Session>,
    verifier: Option<Arc<dyn Verifier>>,
    token: Option<&str>,
) -> Result<LoggedIn, IdentifyError> {
    let verifier = verifier.ok_or(IdentifyError::NoVerifier)?;
    let (refused, limits, ip) = (&node.refused_tokens, node.limits(), Conn::of(session).info.ip());
    if !refused.may_try(ip, limits, now()) {
        node.meters().token("not looked at");
        return Err(IdentifyError::TooMany);
    }
    let verdict = match token {
        Some(token) => verify(&*verifier, token).await,
        None => Err(IdentifyError::NoToken),
    };
    let verdict = verdict.and_then(|identity| log_in(node, session, identity));
    if verdict.is_err() {
        refused.count(ip, limits, now());
    }
    let outcome = if verdict.is_ok() { "accepted" } else { "refused" };
    node.meters().token(outcome);
    verdict
}

/// Calls the `@authenticated` hooks.
pub(crate) fn notify_authenticated(node: &Node, session: &Arc<Session>, user: &UserId) {
    if let Some(hooks) = node.hooks(SystemEvent::Authenticated) {
        let data = Payload::of(&json!({ "user": user })).expect("a text is JSON");
        hooks.notify_client_event(SystemEvent::Authenticated, session, data);
    }
}

/// A verifier that panics has refused the token: a client that waits for it must not wait for ever.
async fn verify(verifier: &dyn Verifier, token: &str) -> Result<Identity, IdentifyError> {
    let verdict = AssertUnwindSafe(async { verifier.verify(token).await }).catch_unwind().await;
    verdict.unwrap_or_else(|panic| {
        tracing::error!(panic = panic_message(&*panic), "a verifier panicked");
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

/// Binds a socket to a user, in place of an earlier binding.
fn bind(node: &Node, session: &Arc<Session>, identity: &Identity) -> Result<(), IdentifyError> {
    let expires_ms = identity.expires.map(unix_ms);
    if expires_ms.is_some_and(|end| end <= now_ms()) {
        return Err(IdentifyError::Expired);
    }
    // Held over the join, so that `forget` runs either before it and the join fails, or after.
    let mut bindings = node.identities.lock();
    let before = bindings.user(session.id);
    let user = identity.user.clone();
    node.hub().join(session, &Target::User(user.clone()))?;
    if let Some(before) = before.filter(|before| *before != user) {
        inbox::log_out(node, session, &before);
    }
    bindings.bind(session.id, user, expires_ms);
    Ok(())
}

/// How often bindings are checked for expiry.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// Logs sockets out when their tokens expire.
pub(crate) async fn run_expiry(node: Arc<Node>) {
    let mut ticks = tokio::time::interval(CHECK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // Held over the logouts, so that a token that is accepted meanwhile is not undone.
        let mut bindings = node.identities.lock();
        for (id, user) in bindings.take_expired(now_ms()) {
            if let Some(session) = node.hub().index().session(id) {
                inbox::log_out(&node, &session, &user);
            }
        }
    }
}
