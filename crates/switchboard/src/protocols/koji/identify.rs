//! Verifies the tokens of a client, one at a time.

use std::future::Future;
use std::task::{Context, Waker};

use switchboard_event::{OverflowPolicy, UserId};
use switchboard_wire::koji;
use switchboard_ws::frame::{OpCode, encode_with};

use crate::api::socket::Socket;
use crate::node::access::grants::Lost;
use crate::node::connection_state::is_closed;
use crate::node::identity::{self, TokenSender, check_length, record_refusal};
use crate::node::verifier::{IdentifyError, Identity};
use crate::protocols::koji::client_state::client_of;
use crate::protocols::koji::rights;

/// Maximum number of queued tokens of a client. When the queue is full, the oldest token is dropped.
const QUEUED_TOKENS_MAX: usize = 8;

/// Queues a token and starts to verify it. A verifier that never waits has finished when this returns.
pub(crate) fn identify(socket: &Socket, token: Option<String>) {
    let node = socket.node();
    let token = token.ok_or(IdentifyError::NoToken);
    let token = match token.and_then(|token| check_length(node, &token).map(|()| token)) {
        Ok(token) => token,
        Err(error) => return refuse(socket, error),
    };
    let client = client_of(socket.session()).expect("every socket of this protocol has this state");
    let (is_full, was_verifying) = {
        let mut tokens = client.tokens();
        let is_full = tokens.queue.len() >= QUEUED_TOKENS_MAX;
        if is_full {
            tokens.queue.pop_front();
        }
        tokens.queue.push_back(token);
        (is_full, std::mem::replace(&mut tokens.is_verifying, true))
    };
    if is_full {
        refuse(socket, IdentifyError::Superseded);
    }
    if was_verifying {
        return;
    }
    let mut future = Box::pin(verify_tokens(socket.clone()));
    if future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
        node.tasks.spawn(future);
    }
}

/// Logs a client in whose token was verified before it connected.
pub(crate) fn accept(socket: &Socket, identity: Identity) {
    let (node, session) = (socket.node(), socket.session());
    let outcome = identity::accept(node, session, Ok(identity)).map(|(identity, backlog)| {
        identity::notify_authenticated(node, session, &identity.user);
        if let Some(backlog) = backlog {
            backlog.start();
        }
        identity.user
    });
    if let Err(error) = &outcome {
        // The claim may have given the seat.
        let lost = if matches!(error, IdentifyError::Revoked) { Lost::Revoked } else { Lost::Expired };
        rights::changed(node, session, &[], lost);
    }
    answer(socket, outcome);
}

/// Verifies the queued tokens until none is left or the connection ends.
async fn verify_tokens(socket: Socket) {
    let client = client_of(socket.session()).expect("every socket of this protocol has this state");
    loop {
        let token = {
            let mut tokens = client.tokens();
            if is_closed(socket.session()) {
                tokens.queue.clear();
            }
            let Some(token) = tokens.queue.pop_front() else {
                tokens.is_verifying = false;
                return;
            };
            token
        };
        let outcome = socket.identify(&token).await;
        answer(&socket, outcome);
    }
}

/// Refuses a token that was not verified.
fn refuse(socket: &Socket, error: IdentifyError) {
    record_refusal(socket.node(), TokenSender::of(socket.session()), &error);
    answer(socket, Err(error));
}

/// Sends the outcome, if the client has requested it: clients of the original protocol receive no answer.
fn answer(socket: &Socket, outcome: Result<UserId, IdentifyError>) {
    let client = client_of(socket.session()).expect("every socket of this protocol has this state");
    if client.wants_token_answers {
        let outcome = outcome.as_deref().map_err(IdentifyError::reason);
        let frame = encode_with(OpCode::Text, 96, |out| koji::write_identified(out, outcome));
        socket.node().hub().deliver_frame(socket.session(), &frame, OverflowPolicy::Live);
    }
}
