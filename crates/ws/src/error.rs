//! Protocol violations of peers, and the close codes for them.

use crate::close::CloseCode;

/// Longest payload of a control frame.
pub(crate) const CONTROL_BYTES_MAX: usize = 125;

/// A protocol violation of a peer. It ends the connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The frame is not masked (section 5.1).
    #[error("a frame is not masked")]
    NotMasked,
    /// A reserved bit is set although no extension was negotiated (section 5.2).
    #[error("a reserved bit is set")]
    ReservedBit,
    /// The opcode is unknown (section 5.2).
    #[error("opcode {0} is reserved")]
    ReservedOpCode(u8),
    /// A control frame is too long or fragmented (section 5.5).
    #[error("a control frame is fragmented or over {CONTROL_BYTES_MAX} bytes")]
    BadControl,
    /// The length does not have its shortest form, or its top bit is set (section 5.2).
    #[error("a frame's length is not in its shortest form, or its top bit is set")]
    BadLength,
    /// A continuation frame without a message (section 5.4).
    #[error("a continuation frame without a message")]
    NothingToContinue,
    /// A new message inside a fragmented one (section 5.4).
    #[error("a new message inside a fragmented one")]
    Interleaved,
    /// The close payload is one byte, or its code may not be sent (section 7.4).
    #[error("a close frame has no valid code")]
    BadClose,
    /// A text message or a close reason is not UTF-8 (section 8.1).
    #[error("text is not valid UTF-8")]
    NotUtf8,
    /// The frame or its message exceeds a limit.
    #[error("{len} bytes are over the limit of {limit}")]
    TooBig {
        /// Its size, in bytes.
        len: u64,
        /// The limit, in bytes.
        limit: usize,
    },
}

impl ProtocolError {
    /// The close code for this error.
    pub fn close_code(&self) -> CloseCode {
        match self {
            ProtocolError::NotUtf8 => CloseCode::INVALID_PAYLOAD,
            ProtocolError::TooBig { .. } => CloseCode::TOO_BIG,
            _ => CloseCode::PROTOCOL,
        }
    }
}
