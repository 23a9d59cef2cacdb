//! Answers `@history`: the messages that a room keeps.

use std::task::{Context, Waker};

use serde_json::json;
use switchboard_event::Payload;

use crate::api::socket::Socket;
use crate::node::connection_state::is_closed;
use crate::node::history_request::HistoryRequest;
use crate::routing::reply::ReplyError;

/// Answers a request, and returns how many messages it counts as. In memory the answer is queued when this returns.
pub(super) fn answer(socket: &Socket, data: &Payload, ack: Payload) -> usize {
    let request = match HistoryRequest::read(data, None) {
        Ok(request) => request,
        Err(error) => {
            refuse(socket, &ack, "bad_data", &error.to_string());
            return 0;
        }
    };
    let (cost, socket) = (request.cost(), socket.clone());
    let mut future = Box::pin(read(socket.clone(), request, ack));
    if future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
        socket.node().tasks.spawn(future);
    }
    cost
}

async fn read(socket: Socket, request: HistoryRequest, ack: Payload) {
    let answer = request.answer(socket.node(), socket.session()).await;
    if is_closed(socket.session()) {
        return;
    }
    match answer {
        Ok(reply) => socket.reply(&ack, &reply),
        Err(error) => {
            let error = ReplyError::from(error);
            refuse(&socket, &ack, error.code(), &error.to_string());
        }
    }
}

fn refuse(socket: &Socket, ack: &Payload, code: &str, error: &str) {
    let data = Payload::of(&json!({ "error": error, "code": code })).expect("strings are valid JSON");
    socket.reply(ack, &data);
}
