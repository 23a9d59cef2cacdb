//! The encoding of a message in the file: the excluded targets, then the event.
//!
//! ```text
//! count (4) │ excluded targets │ the event: the rest
//!   target: kind │ id of a socket (16), or a length (2) and a name, or nothing for everyone
//! ```

use bytes::{Buf, Bytes};
use switchboard_backplane::RoomMessage;
use switchboard_event::{Event, SocketId, Target};

pub(super) fn encode(message: &RoomMessage<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + message.size() as usize);
    out.extend_from_slice(&(message.except.len() as u32).to_be_bytes());
    for target in message.except {
        match target {
            Target::Everyone => out.push(b'='),
            Target::Socket(id) => {
                out.push(b'!');
                out.extend_from_slice(id.as_bytes());
            }
            Target::User(name) => write_name(&mut out, b'@', name),
            Target::Room(name) => write_name(&mut out, b'#', name),
            Target::Tag(name) => write_name(&mut out, b'*', name),
        }
    }
    message.event.write(&mut out);
    out
}

fn write_name(out: &mut Vec<u8>, kind: u8, name: &str) {
    out.push(kind);
    out.extend_from_slice(&(name.len() as u16).to_be_bytes());
    out.extend_from_slice(name.as_bytes());
}

/// Returns the excluded targets and the event; none if the bytes are no message.
pub(super) fn decode(bytes: &[u8]) -> Option<(Vec<Target>, Event)> {
    let mut bytes = Bytes::copy_from_slice(bytes);
    let count = bytes.try_get_u32().ok()?;
    let mut except = Vec::new();
    for _ in 0..count {
        except.push(target(&mut bytes)?);
    }
    Some((except, Event::read(bytes).ok()?))
}

fn target(bytes: &mut Bytes) -> Option<Target> {
    let kind = bytes.try_get_u8().ok()?;
    if kind == b'=' {
        return Some(Target::Everyone);
    }
    if kind == b'!' {
        let mut id = [0; 16];
        bytes.try_copy_to_slice(&mut id).ok()?;
        return Some(Target::Socket(SocketId::from_bytes(id)));
    }
    let len = usize::from(bytes.try_get_u16().ok()?);
    let name = (len <= bytes.len()).then(|| bytes.split_to(len))?;
    let name = std::str::from_utf8(&name).ok()?;
    match kind {
        b'@' => Target::user(name).ok(),
        b'#' => Target::room(name).ok(),
        b'*' => Target::tag(name).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use switchboard_event::{Name, Payload};
    use switchboard_testkit::name;

    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written_and_a_part_of_it_is_refused() {
        let event = Event {
            name: Name::new("said").unwrap(),
            data: Payload::parse(r#"{"text":"hé"}"#).unwrap(),
            sender: Some(SocketId::random()),
            time_ms: 7,
            trace: None,
        };
        let except = [
            Target::Everyone,
            Target::Socket(SocketId::random()),
            Target::user("7").unwrap(),
            Target::room("##odd").unwrap(),
            Target::tag("**t").unwrap(),
        ];
        let (project, room) = (name("p"), name("r"));
        let written = encode(&RoomMessage { project: &project, room: &room, except: &except, event: &event });
        let (kept, read) = decode(&written).unwrap();
        assert_eq!((kept, format!("{read:?}")), (except.to_vec(), format!("{event:?}")));
        let exceptions = written.len() - event.data.as_bytes().len();
        assert!((0..exceptions).all(|len| decode(&written[..len]).is_none()));
    }

    #[test]
    fn a_message_that_excludes_very_many_targets_excludes_all_of_them_when_it_is_read() {
        let event = Event {
            name: Name::new("said").unwrap(),
            data: Payload::NULL,
            sender: None,
            time_ms: 7,
            trace: None,
        };
        let except = vec![Target::user("7").unwrap(); usize::from(u16::MAX) + 2];
        let (project, room) = (name("p"), name("r"));
        let written = encode(&RoomMessage { project: &project, room: &room, except: &except, event: &event });
        assert_eq!(decode(&written).unwrap().0.len(), except.len());
    }
}
