//! `GET /api/v1/rooms`: the rooms with a member.

use futures_util::future::try_join_all;
use serde::Serialize;
use switchboard::{QueryError, RoomName};
use utoipa::ToSchema;

use super::endpoint::Context;
use super::key::now_ms;
use super::page::{list_query, next, page};
use super::problem::{Problem, query};

list_query! {
    /// Which rooms.
    struct Rooms {
        /// Only rooms whose names begin with this, with or without `#`.
        #[serde(default)]
        #[param(example = "chat-")]
        prefix: String,
    }
}

/// A page of rooms in ascending order.
#[derive(Serialize, ToSchema)]
pub(super) struct RoomPage {
    /// The rooms. Shards are rooms too.
    rooms: Vec<Room>,
    /// The parameter `after` of the next page. Left out on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<String>,
    /// When the store answered, in ms since 1970.
    as_of_ms: u64,
}

/// A room.
#[derive(Serialize, ToSchema)]
pub(super) struct Room {
    /// The name, with `#`.
    #[schema(value_type = String, example = "#lobby")]
    room: RoomName,
    /// Number of sockets in the room, on all nodes.
    sockets: usize,
}

/// Lists the rooms with a member on any node.
#[utoipa::path(
    get,
    path = "/api/v1/rooms",
    params(Rooms),
    responses((status = 200, description = "The rooms", body = RoomPage))
)]
pub(super) async fn endpoint(context: Context, rooms: Rooms) -> Result<RoomPage, Problem> {
    let Rooms { prefix, after, limit, project } = rooms;
    let app = context.project(project.as_deref())?;
    let names = app.rooms_page(&prefix, page(after, limit)?).await.map_err(query)?;
    let next = next(&names, limit, |room| room.clone());
    let app = &app;
    let sized = names.into_iter().map(|room| async move {
        let sockets = app.room_size(&room).await?;
        Ok::<_, QueryError>(Room { room, sockets })
    });
    let rooms = try_join_all(sized).await.map_err(query)?;
    Ok(RoomPage { rooms, next, as_of_ms: now_ms() })
}
