//! Verifying clients' tokens, one after the other.

use std::future::Future;
use std::task::{Context, Waker};

use crate::api::socket::Socket;
use crate::protocols::koji::client_state::client_of;

/// Tokens of one client that wait while another is verified; the oldest is dropped.
const TOKENS_WAITING_MAX: usize = 8;

/// Verifies a token; at once, if the verifier does not wait.
pub(crate) fn identify(socket: &Socket, token: String) {
    let client = client_of(socket.session()).expect("every socket of this protocol has a client");
    {
        let mut tokens = client.tokens();
        if tokens.waiting.len() >= TOKENS_WAITING_MAX {
            tokens.waiting.pop_front();
        }
        tokens.waiting.push_back(token);
        if std::mem::replace(&mut tokens.is_busy, true) {
            return;
        }
    }
    let mut work = Box::pin(verify_tokens(socket.clone()));
    if work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
        socket.node().tasks.spawn(work);
    }
}

async fn verify_tokens(socket: Socket) {
    let client = client_of(socket.session()).expect("every socket of this protocol has a client");
    loop {
        let token = {
            let mut tokens = client.tokens();
            let Some(token) = tokens.waiting.pop_front() else {
                tokens.is_busy = false;
                return;
            };
            token
        };
        if let Err(error) = socket.identify(&token).await {
            tracing::debug!(socket = %socket.id(), error = &error as &dyn std::error::Error, "authentication failed");
        }
    }
}
