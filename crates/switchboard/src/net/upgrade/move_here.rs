//! Resuming a session that another node holds: this node makes a new one with its rooms, tags, users and remembered values.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;
use switchboard_backplane::ClientAction;
use switchboard_event::{Payload, Protocol, SocketId};
use switchboard_hub::{NewSession, Session, Transport};
use switchboard_ws::close::CloseCode;

use super::resume::{ResumeRequest, SESSION};
use crate::api::socket::Socket;
use crate::net::drain::STOPPING;
use crate::net::heartbeat::Heartbeats;
use crate::node::Node;
use crate::node::connection_state::ConnectionState;
use crate::node::identity::verify_before_connect;
use crate::node::reports::report;
use crate::node::resume::hand_over::{MovedSession, fetch};
use crate::node::resume::recovery::await_positions;
use crate::node::resume::sessions::Offer;
use crate::node::resume::take_over::ResumeError;
use crate::node::verifier::{CurrentVerifier, Identity};
use crate::protocols::admission::{Candidate, Login};
use crate::protocols::{Handshake, encode_notice, resumed};

impl ResumeRequest<'_> {
    /// Takes a session over from another node.
    pub(super) async fn move_here(
        &self,
        ticket: &str,
        transport: Arc<dyn Transport>,
    ) -> Result<Socket, ResumeError> {
        let (app, handshake) = (&self.server.app, self.handshake);
        let node = app.node();
        if handshake.protocol() != Protocol::Emit {
            return Err(ResumeError::Elsewhere);
        }
        let identity = self.identity().await?;
        let user = identity.as_ref().map(|identity| &identity.user);
        let moved = fetch(node, ticket, handshake.project(app), user).await?;
        let session = self.make_session(&moved, transport).await?;
        let socket = Socket::new(app, session.clone());
        moved.restore_server_made(node, &session);
        if let Some(identity) = identity {
            // Before the client's rooms are restored, because it may need the rights of the token for them.
            resumed(&socket, Login::Verified(identity));
        }
        moved.restore_client_made(node, &session);
        if !self.server.allows_resume(&socket).await {
            forget(node, &session);
            return Err(ResumeError::Refused);
        }
        node.meters().of(session.protocol).count_accepted();
        node.extension::<Heartbeats>().of(session.protocol).watch(&session);
        if app.is_stopping() || app.is_draining() {
            node.close(&session, CloseCode::RESTART, STOPPING);
        }
        report(node, &session, ClientAction::Connected);
        self.server.notify_connected(&socket);
        if !await_positions(node, &session) {
            node.hub().resume(&session, |_| false);
        }
        Ok(socket)
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
        transport: Arc<dyn Transport>,
    ) -> Result<Arc<Session>, ResumeError> {
        let app = &self.server.app;
        let node = app.node();
        let id = SocketId::on(app.hub().bus().node());
        let candidate = Candidate { id, ip: self.info.ip(), token: None };
        // Without the token of the address, which is verified already.
        let admission = Handshake::without_uri().admit(app, candidate).await;
        let admission = admission.map_err(|_| ResumeError::Refused)?;
        let state = ConnectionState::new(self.info.clone(), admission.state);
        moved.remember_in(&state);
        let sessions = node.resumable().ok_or(ResumeError::Off)?;
        let Offer { ticket, seconds } = sessions.offer(&state, id, &admission.project);
        let data = json!({ "id": id.to_string(), "ticket": ticket, "seconds": seconds, "resumed": true });
        let data = Payload::of(&data).expect("texts and numbers are JSON");
        let notice = encode_notice(admission.protocol, SESSION, &data);
        let first: Vec<u8> = notice.into_iter().chain(moved.replies()).flatten().collect();
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
        Ok(session)
    }
}

/// Removes a session that a hook has refused, which nobody has noticed yet.
fn forget(node: &Node, session: &Arc<Session>) {
    node.hub().remove(session);
    node.token_bindings.lock().remove(session.id);
    ConnectionState::of(session).mark_disconnected();
}
