//! The messages that the decoder returns.

use std::ops::Deref;

use bytes::Bytes;

use crate::close::CloseCode;

/// A message or control frame of a client.
#[derive(Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A complete message of valid UTF-8.
    Text(MessageBytes<'a>),
    /// A complete binary message.
    Binary(MessageBytes<'a>),
    /// A ping; the reply is a pong with the same payload.
    Ping(MessageBytes<'a>),
    /// The reply to a ping of the server.
    Pong(MessageBytes<'a>),
    /// The client's last frame, with its code and reason if present.
    Close(Option<(CloseCode, String)>),
}

/// The bytes of a message; borrowed if they arrived in one frame.
#[derive(Debug)]
pub enum MessageBytes<'a> {
    /// A slice of the read buffer.
    Borrowed(&'a [u8]),
    /// Assembled from pieces.
    Owned(Bytes),
}

impl MessageBytes<'_> {
    /// The bytes as an owned value; copied if borrowed.
    pub fn into_bytes(self) -> Bytes {
        match self {
            MessageBytes::Borrowed(bytes) => Bytes::copy_from_slice(bytes),
            MessageBytes::Owned(bytes) => bytes,
        }
    }
}

impl Deref for MessageBytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            MessageBytes::Borrowed(bytes) => bytes,
            MessageBytes::Owned(bytes) => bytes,
        }
    }
}

impl PartialEq for MessageBytes<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for MessageBytes<'_> {}
