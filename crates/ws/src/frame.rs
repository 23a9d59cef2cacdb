//! Frames: a header of 2 to 14 bytes and the payload. The server does not mask its frames; clients do.

mod small_frame;

use std::cell::Cell;

use bytes::Bytes;

/// The opcode of a frame (RFC 6455, section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpCode {
    /// Continues a fragmented message.
    Continuation = 0,
    /// A text message.
    Text = 1,
    /// A binary message.
    Binary = 2,
    /// The last frame of one side.
    Close = 8,
    /// Requests a pong.
    Ping = 9,
    /// Replies to a ping.
    Pong = 10,
}

/// Longest header of an unmasked frame.
const HEADER_BYTES_MAX: usize = 10;

/// Length of the header for a payload of that length.
pub fn header_len(payload_len: usize) -> usize {
    match payload_len {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => HEADER_BYTES_MAX,
    }
}

/// A complete frame around a copy of the payload.
pub fn encode(opcode: OpCode, payload: &[u8]) -> Bytes {
    encode_with(opcode, payload.len(), |out| out.extend_from_slice(payload))
}

thread_local! {
    /// The buffer in which small frames are written.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A complete frame around the bytes that `write` appends. `payload_hint` is an estimate of their number; a wrong
/// one costs a copy or an allocation.
pub fn encode_with(opcode: OpCode, payload_hint: usize, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let len_hint = HEADER_BYTES_MAX + payload_hint;
    if len_hint > small_frame::BYTES_MAX {
        let mut buffer = Vec::with_capacity(len_hint);
        let start = write_frame(&mut buffer, opcode, write);
        return Bytes::from(buffer).slice(start..);
    }
    // A frame that is written while another one is written gets a buffer of its own.
    let mut buffer = SCRATCH.take();
    buffer.clear();
    let start = write_frame(&mut buffer, opcode, write);
    match small_frame::share(&buffer[start..]) {
        Some(frame) => {
            SCRATCH.set(buffer);
            frame
        }
        None => Bytes::from(buffer).slice(start..),
    }
}

/// Writes a frame into an empty buffer. Returns where it starts.
fn write_frame(buffer: &mut Vec<u8>, opcode: OpCode, write: impl FnOnce(&mut Vec<u8>)) -> usize {
    buffer.resize(HEADER_BYTES_MAX, 0);
    write(buffer);
    let len = buffer.len() - HEADER_BYTES_MAX;
    // The header is placed directly before the payload; unused space in front is not part of the frame.
    let start = HEADER_BYTES_MAX - header_len(len);
    let header = &mut buffer[start..HEADER_BYTES_MAX];
    header[0] = 0x80 | opcode as u8;
    match header.len() {
        2 => header[1] = len as u8,
        4 => {
            header[1] = 126;
            header[2..].copy_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            header[1] = 127;
            header[2..].copy_from_slice(&(len as u64).to_be_bytes());
        }
    }
    start
}

/// A complete frame of a client with this first byte (FIN and opcode), for tests and load generators. Independent
/// of the server's encoder, so tests compare two implementations.
pub fn masked(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..=125 => frame.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend((len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_header_directly_precedes_the_payload() {
        for (len, header) in [
            (0, &[0x81, 0][..]),
            (125, &[0x81, 125]),
            (126, &[0x81, 126, 0, 126]),
            (65_535, &[0x81, 126, 0xff, 0xff]),
            (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let frame = encode(OpCode::Text, &vec![b'x'; len]);
            assert_eq!(&frame[..header.len()], header);
            assert_eq!(frame.len(), header.len() + len);
            assert_eq!(header_len(len), header.len());
        }
    }

    #[test]
    fn a_wrong_hint_does_not_change_the_frame() {
        for len in [0, 3, 100, small_frame::BYTES_MAX, 1000] {
            let payload = vec![b'x'; len];
            let right = encode(OpCode::Binary, &payload);
            for hint in [0, 100, small_frame::BYTES_MAX, 5000] {
                let frame = encode_with(OpCode::Binary, hint, |out| out.extend_from_slice(&payload));
                assert_eq!(frame, right, "{len} bytes, {hint} expected");
                assert_eq!(frame.clone(), right);
            }
        }
    }

    #[test]
    fn a_frame_may_be_written_while_another_one_is_written() {
        let frame = encode_with(OpCode::Text, 8, |out| {
            out.extend_from_slice(b"a");
            let inner = encode(OpCode::Text, b"inner");
            out.extend_from_slice(&inner[2..]);
        });
        assert_eq!(&frame[..], b"\x81\x06ainner");
    }
}
