//! Rooms without server code: clients join, leave, and send to the other members of a room.

use serde::Serialize;
use serde_json::{Value, json};
use switchboard::{Payload, Reply, ReplyError, Router, Socket, Target};

use super::fields::text;

/// `/join` and `/leave` with `{room}`; `/message` with `{room, …}`, which is forwarded unchanged to the
/// other members of the room; `/ping`. The client needs the rights to join and to send.
pub(crate) fn router() -> Router {
    Router::new().on("/join", join).on("/leave", leave).on("/message", message).on("/ping", ping)
}

async fn join(socket: Socket, data: Payload) -> Result<Reply<Value>, ReplyError> {
    let room = text(&data, "room")?;
    socket.join_as_client(&room)?;
    Ok(Reply(json!({ "joined": room })))
}

async fn leave(socket: Socket, data: Payload) -> Result<Reply<Value>, ReplyError> {
    let room = text(&data, "room")?;
    socket.leave(&room)?;
    Ok(Reply(json!({ "left": room })))
}

async fn message(socket: Socket, data: Payload) -> Result<(), ReplyError> {
    let room = Target::room(&text(&data, "room")?)?;
    socket.to(room).as_client().emit_payload("message", data)?;
    Ok(())
}

/// A type in place of `json!`, which would build a map for each reply.
#[derive(Serialize)]
struct Pong {
    pong: bool,
}

async fn ping() -> Reply<Pong> {
    Reply(Pong { pong: true })
}
