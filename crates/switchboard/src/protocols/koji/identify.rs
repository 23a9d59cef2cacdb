//! Verifies the tokens of a client, one at a time.

use std::future::Future;
use std::task::{Context, Waker};

use switchboard_log::{limited, printable_error};

use crate::api::socket::Socket;
use crate::protocols::koji::client_state::client_of;

/// Most queued tokens of a client. When the queue is full, the oldest token is dropped.
const QUEUED_TOKENS_MAX: usize = 8;

/// Queues a token and starts to verify it. A verifier that never waits has finished when this returns.
pub(crate) fn identify(socket: &Socket, token: String) {
    let client = client_of(socket.session()).expect("every socket of this protocol has this state");
    {
        let mut tokens = client.tokens();
        if tokens.queue.len() >= QUEUED_TOKENS_MAX {
            tokens.queue.pop_front();
        }
        tokens.queue.push_back(token);
        if std::mem::replace(&mut tokens.is_verifying, true) {
            return;
        }
    }
    let mut future = Box::pin(verify_tokens(socket.clone()));
    if future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
        socket.node().tasks.spawn(future);
    }
}

async fn verify_tokens(socket: Socket) {
    let client = client_of(socket.session()).expect("every socket of this protocol has this state");
    loop {
        let token = {
            let mut tokens = client.tokens();
            let Some(token) = tokens.queue.pop_front() else {
                tokens.is_verifying = false;
                return;
            };
            token
        };
        if let Err(error) = socket.identify(&token).await {
            limited!(DEBUG, socket = %socket.id(), error = printable_error(&error), "authentication failed");
        }
    }
}
