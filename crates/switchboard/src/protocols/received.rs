//! The outcome of one frame of a client.

use crate::routing::request::Request;

/// What a frame asks for, beyond what its protocol has done already.
#[derive(Default)]
pub(crate) struct Received {
    /// The event, if it is for a handler.
    pub(crate) request: Option<Request>,
    /// Recipients that the client named in the frame, or messages that it requested. Each counts as one message of the
    /// rate limit.
    pub(crate) recipients: usize,
}

impl From<Request> for Received {
    fn from(request: Request) -> Self {
        Received { request: Some(request), recipients: 0 }
    }
}
