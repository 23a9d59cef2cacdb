//! Frames that a paused outbox holds back while older messages are redelivered.

use std::collections::VecDeque;

use bytes::Bytes;
use switchboard_event::MessageNumber;

#[derive(Default)]
pub(super) struct HeldFrames {
    /// The number is that of a stored message, which may be redelivered meanwhile.
    frames: VecDeque<(Bytes, Option<MessageNumber>)>,
    /// The size of all frames that were held back.
    bytes: usize,
    /// Pauses in effect; the last resume releases the frames.
    pauses: u32,
}

impl HeldFrames {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The number of frames without a copy in an inbox.
    pub(super) fn unstored_frames(&self) -> usize {
        self.frames.iter().filter(|(_, number)| number.is_none()).count()
    }

    /// Drops the frames and keeps the pauses. Returns the number of dropped frames without a copy in an inbox.
    pub(super) fn drop_frames(&mut self) -> usize {
        let dropped = self.unstored_frames();
        (self.frames, self.bytes) = (VecDeque::new(), 0);
        dropped
    }

    pub(super) fn push(&mut self, frame: Bytes, number: Option<MessageNumber>) {
        self.bytes += frame.len();
        self.frames.push_back((frame, number));
    }

    pub(super) fn frames(&self) -> impl Iterator<Item = &Bytes> {
        self.frames.iter().map(|(frame, _)| frame)
    }

    pub(super) fn begin_pause(&mut self) {
        self.pauses += 1;
    }

    /// Ends one pause and drops the copies of redelivered messages. Returns true if it was the last.
    pub(super) fn end_pause(&mut self, is_redelivered: impl Fn(MessageNumber) -> bool) -> bool {
        self.frames.retain(|(_, number)| !number.is_some_and(&is_redelivered));
        self.pauses -= 1;
        self.pauses == 0
    }

    pub(super) fn into_frames(self) -> impl Iterator<Item = Bytes> {
        self.frames.into_iter().map(|(frame, _)| frame)
    }
}
