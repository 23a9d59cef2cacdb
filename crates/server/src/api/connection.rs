//! `GET /api/v1/connections/{socket}`: one connection in detail.

use serde::{Deserialize, Serialize};
use switchboard::SocketId;
use utoipa::{IntoParams, ToSchema};

use super::connections::ConnectionEntry;
use super::endpoint::Context;
use super::key::now_ms;
use super::problem::{Problem, query};
use crate::connections::{ConnectionDetail, ConnectionQuery};
use crate::node_answers;

/// Which connection.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ConnectionParameters {
    /// The id of its socket.
    #[param(value_type = String, example = "00000000-0000-4000-8000-000000000000")]
    socket: SocketId,
    /// The project. Default: the server's own.
    project: Option<String>,
}

/// A connection in detail, or none.
#[derive(Serialize, ToSchema)]
pub(super) struct ConnectionState {
    /// The connection. Left out if there is none with this id, or its node does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    connection: Option<ConnectionDetailEntry>,
    /// When its node answered, in ms since 1970.
    as_of_ms: u64,
}

/// A connection in detail.
#[derive(Serialize, ToSchema)]
pub(super) struct ConnectionDetailEntry {
    #[serde(flatten)]
    summary: ConnectionEntry,
    /// Its project.
    project: String,
    /// Its first 200 rooms, in the order in which it joined.
    room_names: Vec<String>,
    /// Its first 200 tags.
    tag_names: Vec<String>,
    /// The path that it connected to, without the query.
    path: String,
    /// The origin of the page that opened it. Left out if no browser did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    origin: Option<String>,
    /// True if the client uses TLS.
    secure: bool,
}

/// Returns a connection with what its node knows of it.
#[utoipa::path(
    get,
    path = "/api/v1/connections/{socket}",
    params(ConnectionParameters),
    responses((status = 200, description = "The connection", body = ConnectionState))
)]
pub(super) async fn endpoint(
    context: Context,
    request: ConnectionParameters,
) -> Result<ConnectionState, Problem> {
    let app = context.project(request.project.as_deref())?;
    let project = app.project_id().to_string();
    let asked = ConnectionQuery { project: project.clone(), socket: request.socket };
    let found = node_answers::connection(&app, &asked).await.map_err(query)?;
    let connection = found.map(|detail| {
        let ConnectionDetail { summary, rooms, tags, path, origin, secure } = detail;
        ConnectionDetailEntry {
            summary: summary.into(),
            project,
            room_names: rooms,
            tag_names: tags,
            path,
            origin,
            secure,
        }
    });
    Ok(ConnectionState { connection, as_of_ms: now_ms() })
}
