//! Resuming a session that another node holds: this node makes a new one with its rooms, tags, users and remembered values.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;
use switchboard_backplane::ClientAction;
use switchboard_event::{Payload, SocketId};
use switchboard_hub::{NewSession, Session, Transport};
use switchboard_ws::close::CloseCode;

use super::resume::{ResumeRequest, SESSION};
use crate::api::socket::Socket;
use crate::net::drain::STOPPING;
use crate::net::heartbeat::Heartbeats;
use crate::node::Node;
use crate::node::connection_state::ConnectionState;
use crate::node::ending_session::Guard;
use crate::node::identity::verify_before_connect;
use crate::node::reports::{report, report_resumed};
use crate::node::resume::hand_over::fetch;
use crate::node::resume::kept::Wanted;
use crate::node::resume::moved::MovedSession;
use crate::node::resume::record::record_changed;
use crate::node::resume::recovery::await_positions;
use crate::node::resume::sessions::Offer;
use crate::node::resume::take_over::ResumeError;
use crate::node::verifier::{CurrentVerifier, Identity};
use crate::protocols::admission::{Candidate, Moved, OnConnected};
use crate::protocols::encode_notice;

impl ResumeRequest<'_> {
    /// Takes a session over from another node.
    pub(super) async fn move_here(
        &self,
        ticket: &str,
        transport: Arc<dyn Transport>,
    ) -> Result<(Socket, Option<Guard>), ResumeError> {
        let (app, handshake) = (&self.server.app, self.handshake);
        let node = app.node();
        let identity = self.identity().await?;
        let user = identity.as_ref().map(|identity| &identity.user);
        let (project, protocol) = (handshake.project(app), handshake.protocol());
        let mut moved = fetch(node, Wanted { ticket, project, protocol, user }).await?;
        let taken = moved.take_taken();
        let continued = Moved { identity, seat: moved.seat(ticket) };
        let (session, on_connected) = self.make_session(&moved, continued, transport).await?;
        let socket = Socket::new(app, session.clone());
        moved.restore_server_made(node, &session);
        // Logs the client in, before the rooms that its rights give.
        let guard = on_connected(&socket);
        moved.restore_client_made(node, &session);
        if !self.server.allows_resume(&socket).await {
            forget(node, &session);
            drop(guard);
            return Err(ResumeError::Refused);
        }
        node.meters().of(session.protocol).count_accepted();
        node.extension::<Heartbeats>().of(session.protocol).watch(&session);
        if app.is_stopping() || app.is_draining() {
            node.close(&session, CloseCode::RESTART, STOPPING);
        }
        match taken {
            Some(mut taken) => {
                taken.is_resumed = true;
                report_resumed(node, &session, taken.socket);
            }
            None => report(node, &session, ClientAction::Connected),
        }
        self.server.notify_connected(&socket);
        if !await_positions(node, &session) {
            node.hub().resume(&session, |_| false);
        }
        Ok((socket, guard))
    }

    /// Verifies the token of the handshake.
    async fn identity(&self) -> Result<Option<Identity>, ResumeError> {
        let (app, handshake) = (&self.server.app, self.handshake);
        let Some(token) = handshake.token().or(self.token) else { return Ok(None) };
        let verifier = app.setup().extension::<CurrentVerifier>().and_then(CurrentVerifier::get);
        let project = handshake.project(app);
        let identity = verify_before_connect(app.node(), project, self.info.ip(), verifier, token).await;
        identity.map(Some).map_err(|_| ResumeError::Token)
    }

    /// Adds a session whose first frames are its ticket and the kept replies. What others send to it waits.
    async fn make_session(
        &self,
        moved: &MovedSession,
        continued: Moved,
        transport: Arc<dyn Transport>,
    ) -> Result<(Arc<Session>, OnConnected), ResumeError> {
        let app = &self.server.app;
        let node = app.node();
        let id = SocketId::on(app.hub().bus().node());
        let candidate = Candidate { id, ip: self.info.ip(), token: None, moved: Some(continued) };
        let admission = self.handshake.clone().admit(app, candidate).await;
        let admission = admission.map_err(|_| ResumeError::Refused)?;
        if !admission.may_resume {
            return Err(ResumeError::Off);
        }
        let state = ConnectionState::new(self.info.clone(), admission.state);
        moved.remember_in(&state);
        let sessions = node.resumable().ok_or(ResumeError::Off)?;
        let Offer { ticket, seconds } = sessions.offer(&state, id, &admission.project);
        let data = json!({ "id": id.to_string(), "ticket": ticket, "seconds": seconds, "resumed": true });
        let data = Payload::of(&data).expect("texts and numbers are JSON");
        let notice = encode_notice(admission.protocol, SESSION, &data);
        let first: Vec<u8> =
            notice.into_iter().chain(moved.replies()).chain(admission.greeting).flatten().collect();
        let session = node.hub().add(NewSession {
            id,
            project: admission.project,
            protocol: admission.protocol,
            wants_positions: state.info.understands_extensions(),
            transport,
            connection_state: Box::new(state),
            greeting: Some(Bytes::from(first)),
        });
        node.hub().pause(&session);
        record_changed(node, &session);
        Ok((session, admission.on_connected))
    }
}

/// Removes a session that a hook has refused, which nobody has noticed yet.
fn forget(node: &Node, session: &Arc<Session>) {
    node.hub().remove(session);
    node.token_bindings.lock().remove(session.id);
    ConnectionState::of(session).mark_disconnected();
}
