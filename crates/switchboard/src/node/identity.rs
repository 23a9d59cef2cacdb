//! Authentication: verifies tokens, logs sockets in as their users, and logs them out at expiry.

use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::{FutureExt, poll};
use serde_json::json;
use switchboard_backplane::ClientAction;
use switchboard_event::{Payload, ProjectId, Protocol, RatedOperation, Target, UserId, unix_ms};
use switchboard_hub::{JoinError, Session};
use switchboard_log::{limited, limited_by, printable, printable_error};

use crate::node::Node;
use crate::node::access::{self, grants::Lost};
use crate::node::address_table::SWEEP_INTERVAL;
use crate::node::clock::{now, now_ms};
use crate::node::connection_state::ConnectionState;
use crate::node::inbox;
use crate::node::inbox::backlog::Backlog;
use crate::node::inbox::paused::PausedOutbox;
use crate::node::logged_client::LoggedClient;
use crate::node::rates;
use crate::node::reports::report;
use crate::node::system_events::SystemEvent;
use crate::node::tasks::panic_message;
use crate::node::token_bindings::Binding;
use crate::node::token_turns::Turn;
use crate::node::verifier::{IdentifyError, Identity, Verifier};

/// The identity of an accepted token, and the redelivery of the user's inbox if the app has one.
pub(crate) type LoggedIn = (Identity, Option<Backlog>);

/// Verifies a token and logs the socket in as its user, replacing the user of an earlier token. A missing
/// token counts as refused. Ends early if the socket closes.
pub(crate) async fn identify(
    node: &Arc<Node>,
    session: &Arc<Session>,
    verifier: Option<Arc<dyn Verifier>>,
    token: Option<&str>,
) -> Result<LoggedIn, IdentifyError> {
    let login = rates::check_operation(node, session, RatedOperation::Login);
    if let Err(exceeded) = login {
        return accept(node, session, Err(exceeded.error.into()));
    }
    let identity = match (verifier, token) {
        (None, _) => Err(IdentifyError::NoVerifier),
        (_, None) => Err(IdentifyError::NoToken),
        (Some(verifier), Some(token)) => verify(node, session, &*verifier, token).await,
    };
    accept(node, session, identity)
}

/// Logs the socket in as the user of a verified token, or counts the refusal.
pub(crate) fn accept(
    node: &Arc<Node>,
    session: &Arc<Session>,
    identity: Result<Identity, IdentifyError>,
) -> Result<LoggedIn, IdentifyError> {
    let login = identity.and_then(|identity| log_in(node, session, identity));
    match &login {
        Ok(_) => node.meters().of(session.protocol).tokens_accepted.increment(1),
        Err(error) => record_refusal(node, TokenSender::of(session), error),
    }
    login
}

/// Verifies the token of a client that is not connected yet. Nothing interrupts it but its time-out.
pub(crate) async fn verify_before_connect(
    node: &Node,
    project: &ProjectId,
    ip: Option<IpAddr>,
    verifier: Option<Arc<dyn Verifier>>,
    token: &str,
) -> Result<Identity, IdentifyError> {
    let verifier = verifier.ok_or(IdentifyError::NoVerifier)?;
    check_length(node, token)?;
    let login = rates::check_unconnected(node, project, ip, RatedOperation::Login);
    login.map_err(|exceeded| exceeded.error)?;
    verify_in_turn(node, project, ip, &*verifier, token).await
}

/// The client whose token is refused. It may not be connected yet.
pub(crate) struct TokenSender<'a> {
    pub(crate) client: LoggedClient<'a>,
    pub(crate) protocol: Protocol,
    pub(crate) project: &'a ProjectId,
}

impl<'a> TokenSender<'a> {
    pub(crate) fn of(session: &'a Session) -> Self {
        let client = LoggedClient::Connected(session);
        TokenSender { client, protocol: session.protocol, project: &session.project.id }
    }
}

/// Counts and logs a refused token, or a login without one.
pub(crate) fn record_refusal(node: &Node, sender: TokenSender<'_>, error: &IdentifyError) {
    node.meters().of(sender.protocol).count_refused_token(error.reason());
    let TokenSender { client, protocol, project } = sender;
    let reason = error.reason();
    // Many clients always send a login, also without a token.
    if matches!(error, IdentifyError::NoToken) {
        return limited!(
            DEBUG,
            socket = client.socket(),
            client = client.address(),
            project = printable(project),
            "login without a token refused"
        );
    }
    limited_by!(
        reason,
        INFO,
        socket = client.socket(),
        client = client.address(),
        user = client.printable_user(),
        protocol = protocol.name(),
        project = printable(project),
        reason = printable(reason),
        error = printable_error(error),
        "token refused"
    );
}

/// Checks the length of a token, which is done before it is queued.
pub(crate) fn check_length(node: &Node, token: &str) -> Result<(), IdentifyError> {
    let max = node.limits().token_bytes_max;
    if token.len() > max { Err(IdentifyError::TooLong { max }) } else { Ok(()) }
}

/// Calls the `@authenticated` hooks.
pub(crate) fn notify_authenticated(node: &Node, session: &Arc<Session>, user: &UserId) {
    if let Some(hooks) = node.hooks(SystemEvent::Authenticated) {
        let data = Payload::of(&json!({ "user": user })).expect("a string serializes as JSON");
        hooks.notify_client_event(SystemEvent::Authenticated, session, data);
    }
}

/// Verifies a token, as long as its socket is open.
async fn verify(
    node: &Node,
    session: &Session,
    verifier: &dyn Verifier,
    token: &str,
) -> Result<Identity, IdentifyError> {
    check_length(node, token)?;
    let ip = ConnectionState::of(session).info.ip();
    let mut verified = pin!(verify_in_turn(node, &session.project.id, ip, verifier, token));
    // Most verifiers never wait; then the end of the connection cannot interrupt them.
    if let Poll::Ready(verified) = poll!(verified.as_mut()) {
        return verified;
    }
    let closed = ConnectionState::of(session).closed();
    closed.run_until_cancelled(verified).await.unwrap_or(Err(JoinError::Closed.into()))
}

/// Verifies a token when its address has a turn.
async fn verify_in_turn(
    node: &Node,
    project: &ProjectId,
    ip: Option<IpAddr>,
    verifier: &dyn Verifier,
    token: &str,
) -> Result<Identity, IdentifyError> {
    let (turns, limits) = (&node.token_turns, node.limits());
    let turn = turns.begin(ip, limits).await;
    if matches!(turn, Turn::Limited(_)) {
        node.meters().tokens_delayed.increment(1);
    }
    let verification = AssertUnwindSafe(async { verifier.verify(project, token).await });
    let verification = tokio::time::timeout(limits.token_timeout, verification.catch_unwind());
    let (outcome, spent) = timed(verification).await;
    let identity = outcome.unwrap_or(Ok(Err(IdentifyError::Timeout(limits.token_timeout))));
    let identity = identity.unwrap_or_else(|panic| {
        limited!(ERROR, panic = printable(panic_message(&*panic)), "verifier panicked; the token is refused");
        Err(IdentifyError::refused("panic", "the verifier panicked"))
    });
    // Checked again when the socket is logged in, because it may be revoked in between.
    let is_revoked = |identity: &Identity| node.revocations.include(project, identity);
    let identity = match identity {
        Ok(identity) if is_revoked(&identity) => Err(IdentifyError::Revoked),
        identity => identity,
    };
    let is_refused = matches!(identity, Err(IdentifyError::Refused { .. } | IdentifyError::Revoked));
    turns.end(turn, ip, limits, spent, is_refused).await;
    identity
}

/// Runs a future and measures the time that a thread spends on it, without its waits.
async fn timed<F: Future>(future: F) -> (F::Output, Duration) {
    let (mut future, mut spent) = (pin!(future), Duration::ZERO);
    let output = poll_fn(|cx| {
        let begun = now();
        let polled = future.as_mut().poll(cx);
        spent += now().saturating_duration_since(begun);
        polled
    });
    (output.await, spent)
}

fn log_in(node: &Arc<Node>, session: &Arc<Session>, identity: Identity) -> Result<LoggedIn, IdentifyError> {
    let paused = PausedOutbox::begin(node, session);
    bind(node, session, &identity)?;
    report(node, session, ClientAction::Authenticated);
    let backlog = paused.map(|paused| Backlog::new(paused, identity.user.clone()));
    Ok((identity, backlog))
}

/// Logs in a client that the gate of the app has admitted, before any of its events is handled.
pub(crate) fn log_in_admitted(
    node: &Arc<Node>,
    session: &Arc<Session>,
    identity: Identity,
) -> Result<(), IdentifyError> {
    let (identity, backlog) = log_in(node, session, identity)?;
    notify_authenticated(node, session, &identity.user);
    if let Some(backlog) = backlog {
        backlog.start();
    }
    Ok(())
}

/// Binds a socket to the user of its token, replacing an earlier binding.
fn bind(node: &Arc<Node>, session: &Arc<Session>, identity: &Identity) -> Result<(), IdentifyError> {
    // Rounded down to the millisecond, so that no binding outlives its token.
    let expires_ms = identity.expires.map(unix_ms);
    if expires_ms.is_some_and(|end| end <= now_ms()) {
        return Err(IdentifyError::Expired);
    }
    // Locked during the join: if the socket is removed concurrently, either the join fails or `remove`
    // runs after it.
    let mut bindings = node.token_bindings.lock();
    if node.revocations.include(&session.project.id, identity) {
        return Err(IdentifyError::Revoked);
    }
    let previous = bindings.user(session.id);
    let user = identity.user.clone();
    node.hub().join(session, &Target::User(user.clone()))?;
    if let Some(previous) = previous.filter(|previous| *previous != user) {
        inbox::log_out(node, session, &previous);
    }
    let (token_id, issued_ms) = (identity.token_id.clone(), identity.issued_ms());
    bindings.bind(session.id, Binding { user, expires_ms, token_id, issued_ms });
    access::set_claim(node, session, identity.rights.clone(), Lost::Replaced);
    Ok(())
}

/// Logs a socket out of a user. If its token names the user, its rights end too. Returns false if it was not logged in as
/// this user.
pub(crate) fn log_out(node: &Arc<Node>, session: &Arc<Session>, user: &UserId) -> bool {
    // Locked during the logout, so that it does not undo a concurrent login with a new token.
    let mut bindings = node.token_bindings.lock();
    if bindings.user(session.id).as_ref() == Some(user) {
        bindings.remove(session.id);
        access::set_claim(node, session, None, Lost::Replaced);
    }
    inbox::log_out(node, session, user)
}

/// Interval at which expired tokens are logged out.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(1);

/// Removes state that is no longer in use, every [`SWEEP_INTERVAL`]: idle addresses from the limits of tokens, idle senders
/// and receivers from flow control, and expired messages from the histories of rooms.
pub(crate) async fn run_sweeps(node: Arc<Node>) {
    loop {
        tokio::time::sleep(SWEEP_INTERVAL).await;
        node.token_turns.sweep(node.limits(), now());
        node.stalls.sweep(node.limits(), now());
        node.windows.sweep(now());
        if let Some(history) = node.hub().history() {
            history.log.sweep();
        }
    }
}

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
                access::set_claim(&node, &session, None, Lost::Expired);
            }
        }
    }
}
