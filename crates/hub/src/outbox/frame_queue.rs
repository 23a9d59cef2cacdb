//! Frames in order, and how much of the first one is sent already.

use std::collections::VecDeque;

use bytes::Bytes;

/// Frames are copied together up to this many bytes for one send.
const BATCH_BYTES: usize = 64 * 1024;

/// Frames of at least this size are sent on their own, without the copy.
const COPY_BYTES_MAX: usize = 16 * 1024;

#[derive(Default)]
pub(super) struct FrameQueue {
    /// Stored inline: most outboxes never hold a second frame.
    first: Option<Bytes>,
    #[expect(clippy::box_collection, reason = "8 bytes in every idle connection, not 32")]
    rest: Option<Box<VecDeque<Bytes>>>,
    /// Bytes of `first` that are sent.
    sent: usize,
    /// Bytes that are not sent.
    bytes: usize,
}

/// The bytes of the next send.
pub(super) enum Batch {
    /// The rest of the first frame, from this position.
    Frame(Bytes, usize),
    /// Small frames, copied together into the scratch buffer.
    Copied,
}

impl FrameQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        match (&self.first, &mut self.rest) {
            (None, _) => self.first = Some(frame),
            (Some(_), Some(rest)) => rest.push_back(frame),
            (Some(_), None) => self.rest = Some(Box::new(VecDeque::from([frame]))),
        }
    }

    /// The number of frames that carry data; control frames are left out.
    pub(super) fn data_frames(&self) -> usize {
        let rest = self.rest.iter().flat_map(|rest| rest.iter());
        self.first.iter().chain(rest).filter(|frame| is_data(frame)).count()
    }

    /// Selects the bytes of the next send; none if the queue is empty.
    pub(super) fn next_batch(&self, scratch: &mut Vec<u8>) -> Option<Batch> {
        let first = self.first.as_ref()?;
        if self.rest.is_none() || first.len() - self.sent >= COPY_BYTES_MAX {
            return Some(Batch::Frame(first.clone(), self.sent));
        }
        scratch.clear();
        scratch.extend_from_slice(&first[self.sent..]);
        for frame in self.rest.iter().flat_map(|rest| rest.iter()) {
            if scratch.len() + frame.len() > BATCH_BYTES {
                break;
            }
            scratch.extend_from_slice(frame);
        }
        Some(Batch::Copied)
    }

    /// Removes the oldest `bytes`, which are sent.
    pub(super) fn pop(&mut self, mut bytes: usize) {
        // A concurrent detach has emptied the queue.
        self.bytes = self.bytes.saturating_sub(bytes);
        while let Some(first) = &self.first {
            let left = first.len() - self.sent;
            if bytes < left {
                self.sent += bytes;
                return;
            }
            bytes -= left;
            self.sent = 0;
            self.first = self.rest.as_mut().and_then(|rest| rest.pop_front());
            if self.rest.as_ref().is_some_and(|rest| rest.is_empty()) {
                self.rest = None;
            }
        }
    }
}

/// Returns true if a frame's opcode is not that of a control frame (RFC 6455, 5.5).
fn is_data(frame: &[u8]) -> bool {
    frame.first().is_some_and(|first| first & 0x08 == 0)
}

impl Batch {
    pub(super) fn as_slice<'a>(&'a self, scratch: &'a [u8]) -> &'a [u8] {
        match self {
            Batch::Frame(frame, sent) => &frame[*sent..],
            Batch::Copied => scratch,
        }
    }
}
