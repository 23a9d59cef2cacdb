//! Messages on the channels of original emit.gg nodes. Data is passed on byte for byte.

use bytes::Bytes;
use serde_json::value::RawValue;
use switchboard_backplane::Content;
use switchboard_event::json::for_each_member;
use switchboard_event::{Event, Name, NodeId, OverflowPolicy, SocketId, Target};

use crate::legacy::servers::{LegacyDecodeError, data, now_ms, text, write_json_string};

/// Prefix of the instances of Switchboard nodes; `copies.lua` writes it as well. An original's instance is at
/// most eight letters and digits.
pub(super) const INSTANCE_PREFIX: &str = "switchboard:";

/// Identifies the sending node in a message.
pub(super) struct Instance(String);

impl Instance {
    pub(super) fn of(node: NodeId) -> Self {
        Instance(format!("{INSTANCE_PREFIX}{node}"))
    }
}

/// The addressee of a message.
pub(super) enum Addressee<'a> {
    Everyone,
    /// A room or a tag, with its sigil.
    Members(&'a str),
    Socket(SocketId),
}

/// Whether a Switchboard node sent the message. Only its first bytes are read: a message of ours begins with
/// the instance.
pub(super) fn is_ours(message: &[u8]) -> bool {
    let instance = message.strip_prefix(br#"{"_instance":""#);
    instance.is_some_and(|instance| instance.starts_with(INSTANCE_PREFIX.as_bytes()))
}

pub(super) fn encode(instance: &Instance, addressee: &Addressee<'_>, event: &Event) -> Vec<u8> {
    let [mut out, tail] = match addressee {
        Addressee::Socket(_) => around_socket(instance, event),
        Addressee::Everyone | Addressee::Members(_) => {
            [format!(r#"{{"_instance":"{}""#, instance.0).into(), event_members(event)]
        }
    };
    if let Addressee::Socket(id) = addressee {
        out.extend_from_slice(format!("\"{id}\"").as_bytes());
    }
    out.extend_from_slice(&tail);
    if let Addressee::Members(name) = addressee {
        out.extend_from_slice(br#","to":"#);
        write_json_string(&mut out, name);
    }
    out.push(b'}');
    out
}

/// A message to a socket, in two parts around the socket's id.
pub(super) fn around_socket(instance: &Instance, event: &Event) -> [Vec<u8>; 2] {
    [format!(r#"{{"_instance":"{}","targetSocketId":"#, instance.0).into(), event_members(event)]
}

fn event_members(event: &Event) -> Vec<u8> {
    let data = event.data.as_bytes();
    let mut out = Vec::with_capacity(64 + event.name.len() + data.len());
    out.extend_from_slice(br#","event":"#);
    write_json_string(&mut out, &event.name);
    out.extend_from_slice(br#","data":"#);
    out.extend_from_slice(data);
    out
}

/// The known members of a message of either kind; the last of repeated members counts.
#[derive(Default)]
struct Message<'a> {
    instance: Option<&'a RawValue>,
    event: Option<&'a RawValue>,
    data: Option<&'a RawValue>,
    to: Option<&'a RawValue>,
    socket: Option<&'a RawValue>,
}

impl<'a> Message<'a> {
    fn read(json: &'a [u8]) -> Result<Self, serde_json::Error> {
        let mut message = Message::default();
        for_each_member(json, |name, value| match name.unescape().as_deref() {
            Some("_instance") => message.instance = Some(value),
            Some("event") => message.event = Some(value),
            Some("data") => message.data = Some(value),
            Some("to") => message.to = Some(value),
            Some("targetSocketId") => message.socket = Some(value),
            _ => {}
        })?;
        Ok(message)
    }
}

type Decoded = Option<(Target, Content)>;

/// Decodes a message for everyone, a room or a tag. `None` if it is one of ours.
pub(super) fn decode(bytes: &Bytes) -> Result<Decoded, LegacyDecodeError> {
    read(bytes, |message| match text(message.to)?.as_deref() {
        None => Ok(Some(Target::Everyone)),
        Some(room) if room.starts_with('#') => Ok(Some(Target::room(room)?)),
        Some(tag) if tag.starts_with('*') => Ok(Some(Target::tag(tag)?)),
        // An original node would send it to everyone. A misspelled target must not have this effect.
        Some(_) => Err(LegacyDecodeError::Invalid("the target is neither a `#room` nor a `*tag`")),
    })
}

/// Decodes a message for one socket. `None` if it is one of ours, or the target is no socket id.
pub(super) fn decode_direct(bytes: &Bytes) -> Result<Decoded, LegacyDecodeError> {
    read(bytes, |message| {
        let id = text(message.socket)?;
        Ok(id.and_then(|id| id.parse().ok()).map(Target::Socket))
    })
}

fn read(
    bytes: &Bytes,
    target: impl FnOnce(&Message<'_>) -> Result<Option<Target>, LegacyDecodeError>,
) -> Result<Decoded, LegacyDecodeError> {
    let message = Message::read(bytes)?;
    if text(message.instance)?.is_some_and(|instance| instance.starts_with(INSTANCE_PREFIX)) {
        return Ok(None);
    }
    let target = target(&message)?;
    let name = text(message.event)?.ok_or(LegacyDecodeError::Invalid("there is no event"))?;
    let (name, data) = (Name::new(&name)?, data(bytes, message.data)?);
    let event = Event { name, data, sender: None, time_ms: now_ms(), trace: None };
    Ok(target.map(|target| (target, Content::Event { event, policy: OverflowPolicy::Live, position: None })))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use switchboard_event::Payload;

    use super::*;

    fn event(name: &str, data: &str) -> Event {
        let (name, data) = (Name::new(name).unwrap(), Payload::parse(data).unwrap());
        Event { name, data, sender: Some(SocketId::random()), time_ms: 7, trace: None }
    }

    fn encoded(addressee: &Addressee<'_>) -> String {
        let bytes = encode(&Instance::of(NodeId(7)), addressee, &event("a\"b", r#"{"t": 1e400}"#));
        String::from_utf8(bytes).unwrap()
    }

    fn decoded(message: &str) -> Result<Decoded, LegacyDecodeError> {
        decode(&Bytes::copy_from_slice(message.as_bytes()))
    }

    fn shown((target, content): (Target, Content)) -> String {
        let Content::Event { event, .. } = content else { panic!("it is an event") };
        format!("{target} {} {:?}", event.name, event.data)
    }

    #[test]
    fn encoded_messages_are_those_of_original_nodes() {
        let id = "8e055e73-0000-4000-8000-000000000000".parse().unwrap();
        let head = r#"{"_instance":"switchboard:00000007""#;
        let rest = r#""event":"a\"b","data":{"t": 1e400}"#;
        assert_eq!(encoded(&Addressee::Everyone), format!("{head},{rest}}}"));
        let room = "#c\"hat";
        assert_eq!(encoded(&Addressee::Members(room)), format!(r##"{head},{rest},"to":"#c\"hat"}}"##));
        let direct = format!(r#"{head},"targetSocketId":"{id}",{rest}}}"#);
        assert_eq!(encoded(&Addressee::Socket(id)), direct);
    }

    #[test]
    fn a_message_of_an_original_node_is_decoded() {
        for (message, expected) in [
            (
                r##"{"_instance":"vnztps84","event":"e","data":{"x":1e400},"to":"#chat"}"##,
                "#chat e {\"x\":1e400}",
            ),
            (r#"{"_instance":"a","event":"e","data":null,"to":"*vip"}"#, "*vip e null"),
            (r#"{"_instance":"a","event":"e","data":[ 1 ]}"#, "everyone e [ 1 ]"),
            (r#"{"event":"\u0065","to":null,"more":{}}"#, "everyone e {}"),
            (r#"{"event":"a","event":"e","\ud800":0,"data":"\ud800"}"#, "everyone e \"\\ud800\""),
        ] {
            assert_eq!(shown(decoded(message).unwrap().unwrap()), expected);
        }
    }

    #[test]
    fn our_own_messages_are_ignored() {
        let ours = encoded(&Addressee::Everyone);
        assert!(is_ours(ours.as_bytes()));
        assert!(decoded(&ours).unwrap().is_none());
        let reordered = r#"{"\ud800":0,"event":"e", "_instance" : "\u0073witchboard:00000007"}"#;
        assert!(!is_ours(reordered.as_bytes()));
        assert!(decoded(reordered).unwrap().is_none());
    }

    #[test]
    fn an_invalid_message_is_refused() {
        let long = format!(r#"{{"event":"{}"}}"#, "x".repeat(257));
        let deep = format!(r#"{{"event":"e","data":{}{}}}"#, "[".repeat(64), "]".repeat(64));
        for message in [
            "",
            "{",
            "null",
            "[]",
            "{}",
            "7",
            r#"{"event":7}"#,
            r#"{"event":""}"#,
            &long,
            &deep,
            r#"{"event":"\ud800"}"#,
            r#"{"event":"e","_instance":"switchboard:\ud800"}"#,
            r#"{"event":"e","to":7}"#,
            r#"{"event":"e","to":""}"#,
            r#"{"event":"e","to":"chat"}"#,
            r##"{"event":"e","to":"#"}"##,
            r#"{"_instance":7,"event":"e"}"#,
            r#"{"event":"e","data":}"#,
        ] {
            assert!(decoded(message).is_err(), "{message}");
        }
        let nobody = Bytes::from_static(br#"{"event":"e","targetSocketId":"somebody"}"#);
        assert!(decode_direct(&nobody).unwrap().is_none());
    }

    proptest! {
        #[test]
        fn no_input_panics(bytes: Vec<u8>) {
            let _ = is_ours(&bytes);
            let _ = decode(&bytes.clone().into());
            let _ = decode_direct(&bytes.into());
        }
    }
}
