//! Close codes and close frames.

use std::fmt;

use bytes::Bytes;

use crate::frame::{OpCode, encode_with};

/// Longest reason in a close frame: 125 bytes of a control frame, less two for the code.
pub const REASON_BYTES_MAX: usize = 123;

/// Why a connection closes (RFC 6455, section 7.4, and the IANA registry of close codes).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// The exchange is complete.
    pub const NORMAL: CloseCode = CloseCode(1000);
    /// The page was left, or the server shuts down.
    pub const GOING_AWAY: CloseCode = CloseCode(1001);
    /// The peer broke the protocol.
    pub const PROTOCOL: CloseCode = CloseCode(1002);
    /// A kind of message that is not accepted.
    pub const UNSUPPORTED: CloseCode = CloseCode(1003);
    /// A close frame without a code; never sent.
    pub const NO_STATUS: CloseCode = CloseCode(1005);
    /// The connection was cut without a close frame; never sent.
    pub const ABNORMAL: CloseCode = CloseCode(1006);
    /// Text that is not UTF-8.
    pub const INVALID_PAYLOAD: CloseCode = CloseCode(1007);
    /// The peer violated a policy of the server.
    pub const POLICY: CloseCode = CloseCode(1008);
    /// A message over the limit.
    pub const TOO_BIG: CloseCode = CloseCode(1009);
    /// An internal error of the server.
    pub const INTERNAL: CloseCode = CloseCode(1011);
    /// The server restarts; the client should reconnect.
    pub const RESTART: CloseCode = CloseCode(1012);
    /// The server is overloaded; the client should retry later.
    pub const TRY_AGAIN_LATER: CloseCode = CloseCode(1013);

    /// The code of a close frame that the application sends.
    pub fn to_send(code: u16) -> Result<Self, CodeError> {
        let code = CloseCode(code);
        if code.may_be_sent() { Ok(code) } else { Err(CodeError(code)) }
    }

    /// Returns true if a close frame may contain it.
    pub fn may_be_sent(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

/// Why a close frame is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} cannot be sent; 1000 to 1003, 1007 to 1014 and 3000 to 4999 can")]
pub struct CodeError(pub CloseCode);

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A close frame. The reason is truncated to [`REASON_BYTES_MAX`] at a character boundary. A code that may not
/// be sent results in a frame without code and reason.
pub fn close_frame(code: CloseCode, reason: &str) -> Bytes {
    let reason = &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)];
    encode_with(OpCode::Close, 2 + reason.len(), |out| {
        if code.may_be_sent() {
            out.extend_from_slice(&code.0.to_be_bytes());
            out.extend_from_slice(reason.as_bytes());
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_truncated_at_a_character_boundary() {
        let frame = close_frame(CloseCode::POLICY, &"é".repeat(100));
        assert_eq!(frame.len(), 2 + 2 + 122);
        assert!(std::str::from_utf8(&frame[4..]).is_ok());
    }

    #[test]
    fn codes_for_logs_only_are_not_sent() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000] {
            assert_eq!(&close_frame(CloseCode(code), "why")[..], b"\x88\x00", "{code}");
            assert_eq!(CloseCode::to_send(code), Err(CodeError(CloseCode(code))));
        }
        for code in [1000, 1003, 1007, 1014, 3000, 4999] {
            assert_eq!(CloseCode::to_send(code), Ok(CloseCode(code)));
        }
    }
}
