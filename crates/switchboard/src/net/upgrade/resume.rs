//! Resuming a session in a handshake.
//!
//! The client shows its ticket as a WebSocket subprotocol: browsers can set no other header, and proxies log addresses.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use serde_json::json;
use switchboard_event::{Payload, ProjectId, Protocol, SocketId};
use switchboard_hub::{Session, Transport};
use switchboard_ws::close::CloseCode;

use crate::api::app::App;
use crate::api::socket::Socket;
use crate::net::drain::STOPPING;
use crate::net::heartbeat::Heartbeats;
use crate::node::Node;
use crate::node::connection_info::ConnectionInfo;
use crate::node::connection_state::ConnectionState;
use crate::node::ending_session::{EndingSession, Guard};
use crate::node::identity::verify_before_connect;
use crate::node::resume::hand_over::is_of_another_node;
use crate::node::resume::record::record_changed;
use crate::node::resume::recovery::{await_positions, stop_awaiting};
use crate::node::resume::sessions::{Offer, ResumableSessions};
use crate::node::resume::take_over::{Claim, ResumeError, Taker, find, take_over};
use crate::node::resume::{Detached, end_detached};
use crate::node::{inbox, verifier::CurrentVerifier};
use crate::protocols::admission::Login;
use crate::protocols::{Handshake, encode_notice, resumed};
use crate::routing::server::Server;

/// The first event on a connection.
pub(super) const SESSION: &str = "@session";

/// The subprotocol of clients that show a ticket, which the server selects.
const SUBPROTOCOL: &str = "switchboard";

/// The prefix of the subprotocol that contains the ticket.
const TICKET_PREFIX: &str = "ticket.";

/// A handshake with a ticket.
pub(super) struct ResumeRequest<'a> {
    pub(super) server: &'a Server,
    pub(super) handshake: &'a Handshake,
    /// The token in the headers.
    pub(super) token: Option<&'a str>,
    pub(super) info: &'a ConnectionInfo,
}

/// The subprotocols that a client offers.
fn subprotocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).into_iter();
    values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim)
}

/// The ticket in the headers of a handshake.
pub(super) fn ticket_in(headers: &HeaderMap) -> Option<String> {
    subprotocols(headers).find_map(|name| name.strip_prefix(TICKET_PREFIX)).map(str::to_owned)
}

/// Selects the subprotocol, without which browsers fail the connection.
pub(super) fn answer_subprotocol(request: &HeaderMap, response: &mut HeaderMap) {
    if subprotocols(request).any(|name| name == SUBPROTOCOL) {
        response.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    }
}

/// The `@session` frame of a new session; `None` if the client does not understand it, or sessions are not kept and it has
/// shown no ticket. `sessions` keeps them; `refusal` is why the client did not get the session of its ticket.
pub(super) fn offer(
    sessions: Option<&ResumableSessions>,
    state: &ConnectionState,
    id: SocketId,
    project: &ProjectId,
    protocol: Protocol,
    refusal: Option<ResumeError>,
) -> Option<Bytes> {
    // Protocols without notices have no frame, and no session to keep.
    let wants_session = state.info.understands_extensions() && !state.info.declines_resume();
    if !wants_session || encode_notice(protocol, SESSION, &Payload::NULL).is_none() {
        return None;
    }
    let mut data = json!({ "resumed": false });
    if let Some(sessions) = sessions {
        let Offer { ticket, seconds } = sessions.offer(state, id, project);
        data["id"] = id.to_string().into();
        data["ticket"] = ticket.into();
        data["seconds"] = seconds.into();
    } else if refusal.is_none() {
        return None;
    }
    if let Some(refusal) = refusal {
        data["reason"] = refusal.label().into();
    }
    encode_notice(protocol, SESSION, &Payload::of(&data).expect("texts are JSON"))
}

impl ResumeRequest<'_> {
    /// Resumes the session of a ticket on a new connection. Counts a refusal.
    pub(super) async fn resume(
        self,
        ticket: &str,
        transport: Arc<dyn Transport>,
    ) -> Result<(Socket, Option<Guard>), ResumeError> {
        let resumed = match is_of_another_node(self.server.app.node(), ticket) {
            true => self.move_here(ticket, transport).await,
            false => self.try_resume(ticket, transport).await,
        };
        resumed.inspect_err(|error| error.count())
    }

    async fn try_resume(
        &self,
        ticket: &str,
        transport: Arc<dyn Transport>,
    ) -> Result<(Socket, Option<Guard>), ResumeError> {
        let (app, handshake) = (&self.server.app, self.handshake);
        let node = app.node();
        let claim = find(node, ticket, handshake.project(app), handshake.protocol())?;
        let login = self.login(&claim).await?;
        let detached = take_over(node, claim, Taker::ThisNode).await?;
        let socket = attach(app, &detached.ending.session.clone(), &transport).await;
        if !self.server.allows_resume(&socket).await {
            stop_awaiting(node, socket.session());
            node.hub().detach(socket.session());
            end_detached(node, detached, CloseCode::POLICY.0, "a hook refused to resume the session");
            return Err(ResumeError::Refused);
        }
        node.meters().of(handshake.protocol()).count_accepted();
        node.extension::<Heartbeats>().of(handshake.protocol()).watch(socket.session());
        inbox::reopen(node, socket.session());
        resumed(&socket, login);
        let Detached { ending: EndingSession { guard, .. }, .. } = detached;
        Ok((socket, guard))
    }

    /// Verifies the token of a client that resumes a session with a user: it must be that user's.
    async fn login(&self, claim: &Claim) -> Result<Login, ResumeError> {
        let (app, handshake) = (&self.server.app, self.handshake);
        let Some(token) = handshake.token().or(self.token) else { return Ok(Login::None) };
        let Some(user) = &claim.user else { return Ok(Login::Token(token.to_owned())) };
        let verifier = app.setup().extension::<CurrentVerifier>().and_then(CurrentVerifier::get);
        let project = handshake.project(app);
        match verify_before_connect(app.node(), project, self.info.ip(), verifier, token).await {
            Ok(identity) if identity.user == *user => Ok(Login::Verified(identity)),
            _ => Err(ResumeError::Token),
        }
    }
}

/// Connects a session with a new stream, and queues the first frames for the client.
async fn attach(app: &App, session: &Arc<Session>, transport: &Arc<dyn Transport>) -> Socket {
    let node = app.node();
    let state = ConnectionState::of(session);
    // Events that others send from now on follow.
    node.hub().pause(session);
    while !try_attach(node, session, transport) {
        tokio::task::yield_now().await;
    }
    // A stop, a drain or a close that came before has missed it.
    if app.is_stopping() || app.is_draining() {
        node.close(session, CloseCode::RESTART, STOPPING);
    } else if let Some(code) = state.end_connection().filter(|code| *code != CloseCode::ABNORMAL) {
        node.close(session, code, "");
    }
    let sessions = node.resumable().expect("the session was kept");
    let Offer { ticket, seconds } = sessions.offer(state, session.id, &session.project.id);
    record_changed(node, session);
    let id = session.id.to_string();
    let data = json!({ "id": id, "ticket": ticket, "seconds": seconds, "resumed": true });
    let notice = encode_notice(session.protocol, SESSION, &Payload::of(&data).expect("texts are JSON"));
    for frame in notice.iter().chain(&sessions.take_replies(session)) {
        node.hub().deliver_ahead(session, frame);
    }
    if !await_positions(node, session) {
        node.hub().resume(session, |_| false);
    }
    Socket::new(app, session.clone())
}

/// Returns false while the last flush through the old connection is running.
fn try_attach(node: &Node, session: &Session, transport: &Arc<dyn Transport>) -> bool {
    let _attachment = ConnectionState::of(session).resume_or_new().lock_attachment();
    node.hub().attach(session, transport)
}
