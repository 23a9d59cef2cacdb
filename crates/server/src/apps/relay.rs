//! Rooms without server code: clients join, leave, and send to the other members of a room.

use serde::Deserialize;
use serde_json::{Value, json};
use switchboard::{Data, Payload, Reply, ReplyError, Router, Socket};

#[derive(Deserialize)]
struct InRoom {
    room: String,
}

/// `/join` and `/leave` with `{room}`; `/message` with `{room, …}`, which is forwarded unchanged to the
/// other members of the room; `/ping`.
pub(crate) fn router() -> Router {
    Router::new().on("/join", join).on("/leave", leave).on("/message", message).on("/ping", ping)
}

async fn join(socket: Socket, Data(to): Data<InRoom>) -> Result<Reply<Value>, ReplyError> {
    socket.join(&to.room)?;
    Ok(Reply(json!({ "joined": to.room })))
}

async fn leave(socket: Socket, Data(from): Data<InRoom>) -> Result<Reply<Value>, ReplyError> {
    socket.leave(&from.room)?;
    Ok(Reply(json!({ "left": from.room })))
}

async fn message(socket: Socket, Data(to): Data<InRoom>, data: Payload) -> Result<(), ReplyError> {
    let room = switchboard::Target::room(&to.room)?;
    socket.to(room).emit_payload("message", data)?;
    Ok(())
}

async fn ping() -> Reply<Value> {
    Reply(json!({ "pong": true }))
}
