//! What peers do wrong, and the code that they are told it by.

use crate::close::CloseCode;

/// Longest payload of a control frame.
pub(crate) const CONTROL_BYTES_MAX: usize = 125;

/// How a peer broke the protocol. The connection cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// Clients mask every frame (section 5.1).
    #[error("a frame is not masked")]
    NotMasked,
    /// No extension was agreed on (section 5.2).
    #[error("a reserved bit is set")]
    ReservedBit,
    /// The opcode means nothing (section 5.2).
    #[error("opcode {0} is reserved")]
    ReservedOpCode(u8),
    /// Control frames are short and whole (section 5.5).
    #[error("a control frame is fragmented or over {CONTROL_BYTES_MAX} bytes")]
    BadControl,
    /// The length is not written in the shortest way, or has its top bit set (section 5.2).
    #[error("a frame's length is not written as it must be")]
    BadLength,
    /// There is no message to go on with (section 5.4).
    #[error("a continuation without a beginning")]
    NothingToContinue,
    /// A message begins inside another (section 5.4).
    #[error("a new message inside a fragmented one")]
    Interleaved,
    /// The payload is one byte, or its code may not be sent (section 7.4).
    #[error("a close frame has no valid code")]
    BadClose,
    /// A text, or the reason of a close frame, is not UTF-8 (section 8.1).
    #[error("text is not valid UTF-8")]
    NotUtf8,
    /// The frame, or the message it is part of, is over a limit.
    #[error("{len} bytes are over the limit of {limit}")]
    TooBig {
        /// How large it would be.
        len: u64,
        /// The limit.
        limit: usize,
    },
}

impl ProtocolError {
    /// The code to close with.
    pub fn close_code(&self) -> CloseCode {
        match self {
            ProtocolError::NotUtf8 => CloseCode::INVALID_PAYLOAD,
            ProtocolError::TooBig { .. } => CloseCode::TOO_BIG,
            _ => CloseCode::PROTOCOL,
        }
    }
}
