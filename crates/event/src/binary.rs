//! The binary form of an event, for other nodes and for stores.
//!
//! ```text
//! sender (0, or 1 and 16 bytes) │ time in ms (8) │ length of the name (2) │ name │ data: the rest
//! ```
//!
//! Numbers are big-endian; the data is the JSON as received.

use bytes::Bytes;

use crate::{Event, Name, Payload, SocketId};

/// The bytes are not a valid event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an event: {0}")]
pub struct EventDecodeError(&'static str);

impl Event {
    /// Appends the event to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.reserve(27 + self.name.len() + self.data.as_bytes().len());
        match self.sender {
            Some(sender) => {
                out.push(1);
                out.extend_from_slice(sender.as_bytes());
            }
            None => out.push(0),
        }
        out.extend_from_slice(&self.time_ms.to_be_bytes());
        let len = u16::try_from(self.name.len()).expect("a name has at most 256 bytes");
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(self.name.as_bytes());
        out.extend_from_slice(self.data.as_bytes());
    }

    /// The combined length of name and data, in bytes, of an event encoded by [`write`](Self::write).
    pub fn size_of(written: &[u8]) -> u32 {
        let header = if written.first() == Some(&1) { 27 } else { 11 };
        written.len().saturating_sub(header).try_into().unwrap_or(u32::MAX)
    }

    /// Decodes an event that [`write`](Self::write) encoded, to the end of the bytes. The data is not copied.
    pub fn read(mut bytes: Bytes) -> Result<Self, EventDecodeError> {
        let sender = match take(&mut bytes)? {
            [0] => None,
            [1] => Some(SocketId::from_bytes(take(&mut bytes)?)),
            _ => return Err(EventDecodeError("the first byte is neither 0 nor 1")),
        };
        let time_ms = u64::from_be_bytes(take(&mut bytes)?);
        let len = usize::from(u16::from_be_bytes(take(&mut bytes)?));
        if len > bytes.len() {
            return Err(EventDecodeError("truncated"));
        }
        let name = bytes.split_to(len);
        let name = std::str::from_utf8(&name).map_err(|_| EventDecodeError("the name is not UTF-8"))?;
        let name = Name::new(name).map_err(|_| EventDecodeError("the name is empty or too long"))?;
        let data = Payload::parse_bytes(bytes).map_err(|_| EventDecodeError("the data is not JSON"))?;
        Ok(Event { name, data, sender, time_ms })
    }
}

fn take<const N: usize>(bytes: &mut Bytes) -> Result<[u8; N], EventDecodeError> {
    if bytes.len() < N {
        return Err(EventDecodeError("truncated"));
    }
    Ok(bytes.split_to(N)[..].try_into().expect("the slice has N bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(event: &Event) -> Bytes {
        let mut out = Vec::new();
        event.write(&mut out);
        out.into()
    }

    #[test]
    fn an_event_round_trips_and_a_truncated_one_is_refused() {
        let data = Payload::parse(r#"{"text":"hé"}"#).unwrap();
        let event = Event { name: Name::new("message").unwrap(), data, sender: None, time_ms: 1 << 41 };
        for event in [Event { sender: Some(SocketId::random()), ..event.clone() }, event] {
            let bytes = encode(&event);
            assert_eq!(Event::size_of(&bytes), 7 + 14);
            assert_eq!(format!("{:?}", Event::read(bytes.clone()).unwrap()), format!("{event:?}"));
            for len in 0..bytes.len() {
                assert!(Event::read(bytes.slice(..len)).is_err(), "{len}");
            }
        }
    }

    #[test]
    fn invalid_bytes_are_refused() {
        for bytes in [&b""[..], &[2], &[0; 11], &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, b'1']] {
            assert!(Event::read(Bytes::copy_from_slice(bytes)).is_err(), "{bytes:?}");
        }
    }
}
