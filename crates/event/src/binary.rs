//! The binary form of an event, for other nodes and for stores.
//!
//! ```text
//! flags │ sender (16, if flag 1) │ trace (16, if flag 2) │ time in ms (8) │ length of the name (2) │ name │ data: the rest
//! ```
//!
//! Numbers are big-endian; the data is the JSON as received.

use bytes::Bytes;

use crate::{Event, Name, Payload, SocketId, TraceId};

/// The event has a sender.
const SENDER: u8 = 1;
/// The event has a trace.
const TRACE: u8 = 2;

/// The bytes are not a valid event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an event: {0}")]
pub struct EventDecodeError(&'static str);

impl Event {
    /// Appends the event to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.reserve(43 + self.name.len() + self.data.as_bytes().len());
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        out.push(flag(self.sender.is_some(), SENDER) | flag(self.trace.is_some(), TRACE));
        if let Some(sender) = self.sender {
            out.extend_from_slice(sender.as_bytes());
        }
        if let Some(trace) = self.trace {
            out.extend_from_slice(&trace.to_bytes());
        }
        out.extend_from_slice(&self.time_ms.to_be_bytes());
        let len = u16::try_from(self.name.len()).expect("a name has at most 256 bytes");
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(self.name.as_bytes());
        out.extend_from_slice(self.data.as_bytes());
    }

    /// The combined length of name and data, in bytes, of an event encoded by [`write`](Self::write).
    pub fn size_of(written: &[u8]) -> u32 {
        let flags = written.first().map_or(0, |flags| flags & (SENDER | TRACE));
        let header = 11 + 16 * flags.count_ones() as usize;
        written.len().saturating_sub(header).try_into().unwrap_or(u32::MAX)
    }

    /// Decodes an event that [`write`](Self::write) encoded, to the end of the bytes. The data is not copied.
    pub fn read(mut bytes: Bytes) -> Result<Self, EventDecodeError> {
        let [flags] = take(&mut bytes)?;
        if flags & !(SENDER | TRACE) != 0 {
            return Err(EventDecodeError("it has unknown flags"));
        }
        let has = |flag| flags & flag != 0;
        let sender = has(SENDER).then(|| take(&mut bytes).map(SocketId::from_bytes)).transpose()?;
        let trace = has(TRACE).then(|| take(&mut bytes)).transpose()?;
        let trace = trace.map(TraceId::from_bytes).transpose();
        let trace = trace.map_err(|_| EventDecodeError("the id of its trace is zero"))?;
        let time_ms = u64::from_be_bytes(take(&mut bytes)?);
        let len = usize::from(u16::from_be_bytes(take(&mut bytes)?));
        if len > bytes.len() {
            return Err(EventDecodeError("truncated"));
        }
        let name = bytes.split_to(len);
        let name = std::str::from_utf8(&name).map_err(|_| EventDecodeError("the name is not UTF-8"))?;
        let name = Name::new(name).map_err(|_| EventDecodeError("the name is empty or too long"))?;
        let data = Payload::parse_bytes(bytes).map_err(|_| EventDecodeError("the data is not JSON"))?;
        Ok(Event { name, data, sender, time_ms, trace })
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
        let event =
            Event { name: Name::new("message").unwrap(), data, sender: None, time_ms: 1 << 41, trace: None };
        let (sender, trace) = (Some(SocketId::random()), Some(TraceId::random()));
        let with = |sender, trace| Event { sender, trace, ..event.clone() };
        for event in [with(None, None), with(sender, None), with(None, trace), with(sender, trace)] {
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
        for bytes in [
            &b""[..],
            &[1],
            &[2],
            &[4; 60],
            &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0; 11],
            &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, b'1'],
        ] {
            assert!(Event::read(Bytes::copy_from_slice(bytes)).is_err(), "{bytes:?}");
        }
    }
}
