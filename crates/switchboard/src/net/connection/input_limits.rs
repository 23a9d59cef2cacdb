//! Limits on the input of one connection: its rate, and messages that it leaves unfinished.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use switchboard_ws::Decoder;
use switchboard_ws::close::CloseCode;
use tokio::time::Sleep;

use crate::net::limiter::{ConnectionPermit, OverBudget};
use crate::net::throttle::{RateError, Throttle};
use crate::node::Node;
use crate::node::limits::Limits;

/// The limits of a connection, and how much of them it uses.
pub(super) struct InputLimits {
    throttle: Throttle,
    /// The deadline of the unfinished message. Set once the connection waits for the rest of it.
    deadline: Option<Pin<Box<Sleep>>>,
    /// `None` once the session is removed.
    permit: Option<ConnectionPermit>,
}

/// The peer exceeds a limit. The text is the reason for the close frame.
#[derive(Debug, thiserror::Error)]
pub(super) enum InputError {
    #[error(transparent)]
    Rate(#[from] RateError),
    #[error("a message was not complete within {0:?}")]
    Deadline(Duration),
    #[error("unfinished messages from this address exceed {0} bytes")]
    Budget(usize),
}

impl InputError {
    pub(super) fn close_code(&self) -> CloseCode {
        match self {
            InputError::Rate(_) | InputError::Deadline(_) => CloseCode::POLICY,
            InputError::Budget(_) => CloseCode::TRY_AGAIN_LATER,
        }
    }
}

impl InputLimits {
    pub(super) fn new(permit: ConnectionPermit, limits: &Limits, now: Instant) -> Self {
        InputLimits { throttle: Throttle::new(limits, now), deadline: None, permit: Some(permit) }
    }

    /// Counts the bytes of one read, and reads the rates that apply until the next one.
    pub(super) fn count_bytes(
        &mut self,
        bytes: usize,
        limits: &Limits,
        now: Instant,
    ) -> Result<(), InputError> {
        match self.throttle.count_bytes(bytes, limits, now) {
            true => Ok(()),
            false => Err(RateError::Bytes(limits.bytes_per_s.unwrap_or_default()).into()),
        }
    }

    /// Counts the frames that the decoder has just decoded, and the bytes that it keeps of unfinished ones.
    /// Returns the number of frames.
    pub(super) fn count_frames(&mut self, decoder: &mut Decoder, node: &Node) -> Result<u32, InputError> {
        let frames = decoder.take_frames();
        if !self.throttle.count_frames(frames) {
            return Err(RateError::Messages(messages_per_s(node)).into());
        }
        if self.deadline.is_some() && !decoder.is_unfinished() {
            self.deadline = None;
        }
        let bytes = decoder.unfinished_bytes();
        let Some(permit) = self.permit.as_mut().filter(|permit| permit.unfinished_bytes() != bytes) else {
            return Ok(frames);
        };
        let counted = permit.set_unfinished_bytes(bytes, node.limits());
        counted.map(|()| frames).map_err(|OverBudget(max)| InputError::Budget(max))
    }

    /// Counts the recipients that a message names.
    pub(super) fn count_recipients(&mut self, recipients: usize, node: &Node) -> Result<(), InputError> {
        match self.throttle.count_recipients(recipients) {
            true => Ok(()),
            false => Err(RateError::Recipients(messages_per_s(node)).into()),
        }
    }

    /// Uncounts a frame that the server has asked for.
    pub(super) fn give_back_frame(&mut self) {
        self.throttle.give_back_frame();
    }

    /// Waits for the deadline of the unfinished message. Called when nothing more can be read.
    pub(super) fn poll_deadline(
        &mut self,
        cx: &mut Context<'_>,
        decoder: &Decoder,
        limits: &Limits,
    ) -> Poll<InputError> {
        let timeout = limits.message_timeout;
        if !decoder.is_unfinished() || timeout.is_zero() {
            return Poll::Pending;
        }
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(InputError::Deadline(timeout))
    }

    /// Removes the deadline while the server itself does not read; the time of the message begins anew afterwards.
    pub(super) fn pause_deadline(&mut self) {
        self.deadline = None;
    }

    /// Gives the peer a new burst, for what it sends until it has received the close frame.
    pub(super) fn begin_close(&mut self, limits: &Limits, now: Instant) {
        self.throttle = Throttle::new(limits, now);
    }

    /// Ends the count of the connection.
    pub(super) fn release(&mut self) {
        self.permit = None;
    }
}

/// The rate that a peer has exceeded.
fn messages_per_s(node: &Node) -> u32 {
    node.limits().messages_per_s.unwrap_or_default()
}
