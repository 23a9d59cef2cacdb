//! The header of a client's frame, and the limits that it must keep.

use crate::error::{CONTROL_BYTES_MAX, ProtocolError};
use crate::frame::OpCode;

/// Longest header of a masked frame.
pub(super) const HEADER_BYTES_MAX: usize = 14;

/// Bounds on the messages of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of bytes in one frame. Default 1 MiB.
    pub frame_bytes_max: usize,
    /// Maximum number of bytes in one message, over all fragments. Default 1 MiB.
    pub message_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { frame_bytes_max: 1024 * 1024, message_bytes_max: 1024 * 1024 }
    }
}

/// The header of one frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    /// True for the last frame of a message.
    pub(super) fin: bool,
    pub(super) opcode: OpCode,
    pub(super) mask: [u8; 4],
    /// The length of the payload.
    pub(super) len: usize,
}

/// The state of the connection in which a header must be valid.
pub(super) struct Context {
    pub(super) limits: Limits,
    /// The size so far of the message that the next data frame continues.
    pub(super) message_bytes: Option<usize>,
}

impl Header {
    /// Returns true for a control frame, false for a piece of a message.
    #[inline]
    pub(super) fn is_control(&self) -> bool {
        is_control(self.opcode)
    }

    /// Parses the header at the front of `bytes` and returns it with its own length; `None` if it is incomplete.
    /// An incomplete header is checked as far as it has arrived.
    #[inline]
    pub(super) fn parse(bytes: &[u8], context: &Context) -> Result<Option<(Header, usize)>, ProtocolError> {
        let &[first, ref rest @ ..] = bytes else { return Ok(None) };
        if first & 0x70 != 0 {
            return Err(ProtocolError::ReservedBit);
        }
        let (fin, opcode) = (first & 0x80 != 0, opcode(first & 0x0f)?);
        let continues = context.message_bytes.is_some();
        match opcode {
            OpCode::Continuation if !continues => return Err(ProtocolError::NothingToContinue),
            OpCode::Text | OpCode::Binary if continues => return Err(ProtocolError::Interleaved),
            _ => {}
        }
        let &[second, ref rest @ ..] = rest else { return Ok(None) };
        if second & 0x80 == 0 {
            return Err(ProtocolError::NotMasked);
        }
        let short_len = usize::from(second & 0x7f);
        if is_control(opcode) && (!fin || short_len > CONTROL_BYTES_MAX) {
            return Err(ProtocolError::BadControl);
        }
        let Some((len, rest)) = payload_len(short_len, rest)? else { return Ok(None) };
        if !is_control(opcode) {
            context.check_size(len)?;
        }
        let Some((mask, _)) = rest.split_first_chunk() else { return Ok(None) };
        let header_len = bytes.len() - rest.len() + mask.len();
        Ok(Some((Header { fin, opcode, mask: *mask, len: len as usize }, header_len)))
    }
}

impl Context {
    #[inline]
    fn check_size(&self, len: u64) -> Result<(), ProtocolError> {
        let Limits { frame_bytes_max, message_bytes_max } = self.limits;
        if len > frame_bytes_max as u64 {
            return Err(ProtocolError::TooBig { len, limit: frame_bytes_max });
        }
        let message_len = len + self.message_bytes.unwrap_or(0) as u64;
        if message_len > message_bytes_max as u64 {
            return Err(ProtocolError::TooBig { len: message_len, limit: message_bytes_max });
        }
        Ok(())
    }
}

#[inline]
fn is_control(opcode: OpCode) -> bool {
    opcode as u8 >= OpCode::Close as u8
}

#[inline]
fn opcode(bits: u8) -> Result<OpCode, ProtocolError> {
    match bits {
        0 => Ok(OpCode::Continuation),
        1 => Ok(OpCode::Text),
        2 => Ok(OpCode::Binary),
        8 => Ok(OpCode::Close),
        9 => Ok(OpCode::Ping),
        10 => Ok(OpCode::Pong),
        reserved => Err(ProtocolError::ReservedOpCode(reserved)),
    }
}

/// The payload length, which must be in its shortest form, and the bytes after it; `None` if it is incomplete.
#[inline]
fn payload_len(short_len: usize, rest: &[u8]) -> Result<Option<(u64, &[u8])>, ProtocolError> {
    let (len, rest, is_shortest) = match short_len {
        126 => {
            let Some((len, rest)) = rest.split_first_chunk() else { return Ok(None) };
            let len = u64::from(u16::from_be_bytes(*len));
            (len, rest, len > 125)
        }
        127 => {
            let Some((len, rest)) = rest.split_first_chunk() else { return Ok(None) };
            let len = u64::from_be_bytes(*len);
            (len, rest, len > 0xffff && len >> 63 == 0)
        }
        len => (len as u64, rest, true),
    };
    if is_shortest { Ok(Some((len, rest))) } else { Err(ProtocolError::BadLength) }
}
