//! The gate of the app, between a handshake and the first event of its client.

use std::sync::Arc;

use switchboard_event::{ProjectId, Protocol, SocketId, Target};
use switchboard_log::{limited, printable_error};
use switchboard_ws::close::CloseCode;

use crate::api::app::App;
use crate::api::socket::Socket;
use crate::node::connect_gate::{Admitted, ConnectGate, ConnectRefusal, ConnectingClient};
use crate::node::connection_info::ConnectionInfo;
use crate::node::verifier::IdentifyError;
use crate::node::{access, identity};

/// Lets the gate of the app, if it has one, decide about a client.
pub(super) async fn pass(
    app: &App,
    socket: SocketId,
    (protocol, project): (Protocol, &ProjectId),
    info: &ConnectionInfo,
) -> Result<Admitted, ConnectRefusal> {
    let Some(gate) = app.setup().extension::<Arc<dyn ConnectGate>>() else {
        return Ok(Admitted::default());
    };
    gate.admit(ConnectingClient { socket, project, protocol, info }).await
}

/// Logs a new client in and joins it to rooms, as the gate has decided. If one of them fails, the client is closed.
pub(super) fn enter(socket: &Socket, admitted: Admitted) {
    if let Err(error) = try_enter(socket, admitted) {
        limited!(
            WARN,
            socket = %socket.id(),
            error = printable_error(&error),
            "client was admitted and cannot be logged in or join its rooms; it is closed with 1013"
        );
        socket.node().close(socket.session(), CloseCode::TRY_AGAIN_LATER, "too many memberships");
    }
}

fn try_enter(socket: &Socket, admitted: Admitted) -> Result<(), IdentifyError> {
    let Admitted { identity, rooms } = admitted;
    let (node, session) = (socket.node(), socket.session());
    if let Some(identity) = identity {
        identity::log_in_admitted(node, session, identity)?;
    }
    for room in rooms {
        access::join_for_server(node, session, &Target::Room(room))?;
    }
    Ok(())
}
