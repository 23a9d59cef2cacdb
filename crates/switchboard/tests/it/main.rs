//! Tests of the framework over real sockets.

mod arguments;
mod audiences;
mod bad_input;
mod connection_info;
mod drain;
mod dry_run;
mod embedding;
mod emit_tokens;
mod explain;
mod flow_control;
mod handlers;
mod history;
mod hooks;
mod hostile_resume;
mod http;
mod http_rates;
mod inbox;
mod input_limits;
mod koji;
mod koji_handlers;
mod koji_member_lists;
mod koji_metadata;
mod koji_refusals;
mod koji_shards;
mod limits;
mod member_lists;
mod mesa;
mod mesa_disconnects;
mod mesa_inbox;
mod middleware;
mod moves;
mod nodes;
mod overflow;
mod rates;
mod refused_events;
mod requests;
mod reserved_names;
mod resume;
mod revocations;
mod rights;
mod rights_over_time;
mod rooms;
mod router_mistakes;
mod shutdown;
mod support;
mod tls;
mod tokens;
mod traces;
mod undelivered;
mod worker_replies;
mod worker_threads;

use serde_json::{Value, json};
use switchboard::{App, Data, Reply, ReplyError, Socket};

/// An app that echoes, joins rooms, and sends to a room.
fn app() -> App {
    App::new().on("/echo", echo).on("/join", join).on("/send", send_to_room)
}

async fn echo(Data(data): Data<Value>) -> Reply<Value> {
    Reply(data)
}

async fn join(socket: Socket, Data(room): Data<String>) -> Result<Reply<bool>, ReplyError> {
    Ok(Reply(socket.join(&room)?))
}

/// Sends to the other members of a room and replies with the number of receivers.
async fn send_to_room(
    socket: Socket,
    Data((room, text)): Data<(String, Value)>,
) -> Result<Reply<Value>, ReplyError> {
    let receivers = socket.to(&room).emit("message", &text)?;
    Ok(Reply(json!(receivers)))
}
