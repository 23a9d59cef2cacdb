//! Input that is buffered until it is complete: a header, a frame, a message.

use super::header::Header;
use super::message::{Message, MessageBytes};
use super::unmask::unmask_front;
use crate::error::ProtocolError;
use crate::utf8::Utf8;

/// Incomplete input.
#[derive(Debug, Default)]
pub(super) struct Partial {
    /// An incomplete header.
    pub(super) header: Vec<u8>,
    /// The frame with an incomplete payload.
    pub(super) frame: Option<PartialFrame>,
    /// The message with frames outstanding.
    pub(super) message: Option<PartialMessage>,
}

/// A frame with an incomplete payload.
#[derive(Debug)]
pub(super) struct PartialFrame {
    pub(super) header: Header,
    /// The payload of a control frame; a data frame's payload is appended to the message.
    pub(super) control: Vec<u8>,
    /// How much of the payload has arrived.
    received: usize,
}

/// A message with frames outstanding.
#[derive(Debug)]
pub(super) struct PartialMessage {
    is_text: bool,
    bytes: Vec<u8>,
    utf8: Utf8,
}

impl Partial {
    /// Returns true if nothing is buffered.
    pub(super) fn is_empty(&self) -> bool {
        self.header.is_empty() && self.frame.is_none() && self.message.is_none()
    }

    /// Bytes allocated for the incomplete input, including this.
    pub(super) fn allocated_bytes(&self) -> usize {
        let frame = self.frame.as_ref().map_or(0, |frame| frame.control.capacity());
        let message = self.message.as_ref().map_or(0, |message| message.bytes.capacity());
        size_of::<Partial>() + self.header.capacity() + frame + message
    }
}

impl PartialFrame {
    pub(super) fn new(header: Header) -> Self {
        PartialFrame { header, control: Vec::new(), received: 0 }
    }

    /// Takes the available part of the payload off the front of `input` and unmasks it.
    #[inline]
    pub(super) fn take_piece<'a>(&mut self, input: &mut &'a mut [u8]) -> &'a [u8] {
        let len = (self.header.len - self.received).min(input.len());
        let mut mask = self.header.mask;
        mask.rotate_left(self.received % 4);
        self.received += len;
        unmask_front(input, len, mask)
    }

    pub(super) fn is_complete(&self) -> bool {
        self.received == self.header.len
    }
}

impl PartialMessage {
    pub(super) fn new(is_text: bool) -> Self {
        PartialMessage { is_text, bytes: Vec::new(), utf8: Utf8::default() }
    }

    /// Bytes so far.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Appends a piece. Invalid UTF-8 in a text message is an error as soon as it arrives.
    #[inline]
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), ProtocolError> {
        self.bytes.extend_from_slice(piece);
        if self.is_text && !self.utf8.push(piece) {
            return Err(ProtocolError::NotUtf8);
        }
        Ok(())
    }

    /// The complete message.
    pub(super) fn finish(self) -> Result<Message<'static>, ProtocolError> {
        if self.is_text && !self.utf8.is_whole() {
            return Err(ProtocolError::NotUtf8);
        }
        let payload = MessageBytes::Owned(self.bytes.into());
        Ok(if self.is_text { Message::Text(payload) } else { Message::Binary(payload) })
    }
}
