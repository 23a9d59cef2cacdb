//! `GET /api/v1/sockets/{socket}`: whether a socket is connected.

use serde::{Deserialize, Serialize};
use switchboard::SocketId;
use utoipa::{IntoParams, ToSchema};

use super::endpoint::Context;
use super::key::now_ms;
use super::problem::{Problem, query};
use super::sockets::SocketEntry;

/// Which socket.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SocketQuery {
    /// The id.
    #[param(value_type = String, example = "00000000-0000-4000-8000-000000000000")]
    socket: SocketId,
    /// The project. Default: the server's own.
    project: Option<String>,
}

/// A socket, connected or not.
#[derive(Serialize, ToSchema)]
pub(super) struct SocketState {
    #[serde(flatten)]
    socket: SocketEntry,
    /// True if the socket is connected, to any node and in this project.
    connected: bool,
    /// When the store answered, in ms since 1970.
    as_of_ms: u64,
}

/// Returns whether a socket is connected, its node, and what the node knows: protocol, address and user.
#[utoipa::path(
    get,
    path = "/api/v1/sockets/{socket}",
    params(SocketQuery),
    responses((status = 200, description = "The socket", body = SocketState))
)]
pub(super) async fn endpoint(context: Context, socket: SocketQuery) -> Result<SocketState, Problem> {
    let app = context.project(socket.project.as_deref())?;
    let connected = app.socket_exists(socket.socket).await.map_err(query)?;
    let details = if connected { app.socket_details(&[socket.socket]).await.found.pop() } else { None };
    let entry = details.map_or_else(|| SocketEntry::from(socket.socket), SocketEntry::from);
    Ok(SocketState { socket: entry, connected, as_of_ms: now_ms() })
}
