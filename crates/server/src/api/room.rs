//! `GET /api/v1/rooms/{room}`: the size of a room.

use serde::{Deserialize, Serialize};
use switchboard::RoomName;
use utoipa::{IntoParams, ToSchema};

use super::endpoint::Context;
use super::key::now_ms;
use super::problem::{Problem, query};
use super::targets::parse_name;

/// Which room.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RoomQuery {
    /// The room, with or without `#`, which is `%23` in a path.
    #[param(example = "lobby")]
    room: String,
    /// The project. Default: the server's own.
    project: Option<String>,
}

/// The size of a room.
#[derive(Serialize, ToSchema)]
pub(super) struct RoomSize {
    /// The name, with `#`.
    #[schema(value_type = String, example = "#lobby")]
    room: RoomName,
    /// Number of sockets in the room, on all nodes; 0 if there is no such room.
    sockets: usize,
    /// When the store answered, in ms since 1970.
    as_of_ms: u64,
}

/// Counts the sockets in a room on all nodes.
#[utoipa::path(
    get,
    path = "/api/v1/rooms/{room}",
    params(RoomQuery),
    responses((status = 200, description = "The size", body = RoomSize))
)]
pub(super) async fn endpoint(context: Context, room: RoomQuery) -> Result<RoomSize, Problem> {
    let app = context.project(room.project.as_deref())?;
    let room: RoomName = parse_name("room", &room.room)?;
    let sockets = app.room_size(&room).await.map_err(query)?;
    Ok(RoomSize { room, sockets, as_of_ms: now_ms() })
}
