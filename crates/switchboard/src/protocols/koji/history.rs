//! Answers `@@SWITCHBOARD/history`: the messages that a shard, or another room, keeps.

use std::task::{Context, Waker};

use serde::Serialize;
use switchboard_event::{OverflowPolicy, Payload};
use switchboard_wire::koji;
use switchboard_ws::frame::{OpCode, encode_with};

use crate::api::socket::Socket;
use crate::node::history_request::HistoryRequest;
use crate::protocols::koji::client_state::client_of;
use crate::routing::reply::ReplyError;

/// Answers a request with an event of the same name, which repeats the `id` of the request. Returns how many messages
/// the request counts as.
pub(super) fn answer(socket: &Socket, payload: &Payload) -> usize {
    let own_room = client_of(socket.session()).map(|client| client.shard.room());
    let id = payload.member("id").unwrap_or(Payload::NULL);
    let request = match HistoryRequest::read(payload, own_room) {
        Ok(request) => request,
        Err(error) => {
            let refusal = Refusal { code: "bad_data", message: error.to_string() };
            send(socket, &Answer { id: &id, history: None, error: Some(refusal) });
            return 0;
        }
    };
    let (cost, socket) = (request.cost(), socket.clone());
    let mut future = Box::pin(read(socket.clone(), request, id));
    if future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
        socket.node().tasks.spawn(future);
    }
    cost
}

async fn read(socket: Socket, request: HistoryRequest, id: Payload) {
    let answer = request.answer(socket.node(), socket.session()).await.map_err(ReplyError::from);
    let error = answer.as_ref().err();
    let error = error.map(|error| Refusal { code: error.code(), message: error.to_string() });
    send(&socket, &Answer { id: &id, history: answer.as_ref().ok(), error });
}

/// The payload of the answer.
#[derive(Serialize)]
struct Answer<'a> {
    id: &'a Payload,
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<&'a Payload>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Refusal<'a>>,
}

#[derive(Serialize)]
struct Refusal<'a> {
    code: &'a str,
    message: String,
}

fn send(socket: &Socket, answer: &Answer<'_>) {
    let payload = Payload::of(answer).expect("strings and payloads serialize as JSON");
    let len = 128 + payload.as_bytes().len();
    let frame = encode_with(OpCode::Text, len, |out| koji::write_notice(out, "history", &payload));
    socket.node().hub().deliver_frame(socket.session(), &frame, OverflowPolicy::Live);
}
