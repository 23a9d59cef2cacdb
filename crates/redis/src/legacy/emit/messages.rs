//! What nodes say on the channels of original emit.gg nodes. Data goes as the bytes it came in.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use switchboard_backplane::Content;
use switchboard_event::{DeliveryClass, Event, Name, NodeId, Payload, SocketId, Target};

use super::INSTANCE_HEAD;
use crate::legacy::{NoMessage, now_ms, put_text};

/// By what a node knows its own messages.
pub(super) struct Instance(String);

impl Instance {
    pub(super) fn of(node: NodeId) -> Self {
        Instance(format!("{INSTANCE_HEAD}{node}"))
    }
}

/// For whom a message is.
pub(super) enum Addressee<'a> {
    Everyone,
    /// A room or a tag, with its sigil.
    Members(&'a str),
    Socket(SocketId),
}

/// Whether a Switchboard node said it, found without reading all of it: every message of ours begins
/// with the instance.
pub(super) fn is_ours(message: &[u8]) -> bool {
    let instance = message.strip_prefix(br#"{"_instance":""#);
    instance.is_some_and(|instance| instance.starts_with(INSTANCE_HEAD.as_bytes()))
}

pub(super) fn encode(instance: &Instance, addressee: &Addressee<'_>, event: &Event) -> Vec<u8> {
    let [mut out, tail] = match addressee {
        Addressee::Socket(_) => around_socket(instance, event),
        Addressee::Everyone | Addressee::Members(_) => {
            [format!(r#"{{"_instance":"{}""#, instance.0).into(), happened(event)]
        }
    };
    if let Addressee::Socket(id) = addressee {
        out.extend_from_slice(format!("\"{id}\"").as_bytes());
    }
    out.extend_from_slice(&tail);
    if let Addressee::Members(name) = addressee {
        out.extend_from_slice(br#","to":"#);
        put_text(&mut out, name);
    }
    out.push(b'}');
    out
}

/// A message to a socket, but for the id that comes between the two parts.
pub(super) fn around_socket(instance: &Instance, event: &Event) -> [Vec<u8>; 2] {
    [format!(r#"{{"_instance":"{}","targetSocketId":"#, instance.0).into(), happened(event)]
}

fn happened(event: &Event) -> Vec<u8> {
    let data = event.data.as_bytes();
    let mut out = Vec::with_capacity(64 + event.name.len() + data.len());
    out.extend_from_slice(br#","event":"#);
    put_text(&mut out, &event.name);
    out.extend_from_slice(br#","data":"#);
    out.extend_from_slice(data);
    out
}

/// The members that both kinds of messages have, and those of each.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, rename = "_instance")]
    instance: Option<Cow<'a, str>>,
    #[serde(borrow)]
    event: Cow<'a, str>,
    /// `null` is data, too.
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    to: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "targetSocketId")]
    socket: Option<Cow<'a, str>>,
}

fn present<'de, D: Deserializer<'de>>(data: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(data).map(Some)
}

type Heard = Option<(Target, Content)>;

/// A message for everyone, a room or a tag; none if it is one of ours.
pub(super) fn decode(bytes: &Bytes) -> Result<Heard, NoMessage> {
    read(bytes, |message| match message.to.as_deref() {
        None => Ok(Some(Target::Everyone)),
        Some(room) if room.starts_with('#') => Ok(Some(Target::room(room)?)),
        Some(tag) if tag.starts_with('*') => Ok(Some(Target::tag(tag)?)),
        // The original sends it to everybody; a typo must not.
        Some(_) => Err(NoMessage::Wrong("the target is neither a `#room` nor a `*tag`")),
    })
}

/// A message for one socket; none if it is one of ours, or for what is no socket.
pub(super) fn decode_direct(bytes: &Bytes) -> Result<Heard, NoMessage> {
    read(bytes, |message| {
        let id = message.socket.as_deref().and_then(|id| id.parse().ok());
        Ok(id.map(Target::Socket))
    })
}

fn read(
    bytes: &Bytes,
    target: impl FnOnce(&Message<'_>) -> Result<Option<Target>, NoMessage>,
) -> Result<Heard, NoMessage> {
    let message: Message<'_> = serde_json::from_slice(bytes)?;
    if message.instance.as_deref().is_some_and(|instance| instance.starts_with(INSTANCE_HEAD)) {
        return Ok(None);
    }
    let target = target(&message)?;
    let event = Event {
        name: Name::new(&message.event)?,
        data: message.data.map_or(Payload::EMPTY, |data| Payload::slice_of(bytes, data)),
        sender: None,
        time_ms: now_ms(),
    };
    Ok(target.map(|target| (target, Content::Event { event, class: DeliveryClass::Live })))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(name: &str, data: &str) -> Event {
        let (name, data) = (Name::new(name).unwrap(), Payload::parse(data).unwrap());
        Event { name, data, sender: Some(SocketId::random()), time_ms: 7 }
    }

    fn encoded(addressee: &Addressee<'_>) -> String {
        let bytes = encode(&Instance::of(NodeId(7)), addressee, &event("a\"b", r#"{"t": 1e400}"#));
        String::from_utf8(bytes).unwrap()
    }

    fn heard(message: &str) -> Result<Heard, NoMessage> {
        decode(&Bytes::copy_from_slice(message.as_bytes()))
    }

    fn shown((target, content): (Target, Content)) -> String {
        let Content::Event { event, .. } = content else { panic!("it is an event") };
        format!("{target} {} {:?}", event.name, event.data)
    }

    #[test]
    fn messages_look_as_the_originals_do() {
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
    fn what_an_original_says_is_understood() {
        for (message, understood) in [
            (
                r##"{"_instance":"vnztps84","event":"e","data":{"x":1e400},"to":"#chat"}"##,
                "#chat e {\"x\":1e400}",
            ),
            (r#"{"_instance":"a","event":"e","data":null,"to":"*vip"}"#, "*vip e null"),
            (r#"{"_instance":"a","event":"e","data":[ 1 ]}"#, "everyone e [ 1 ]"),
            (r#"{"event":"\u0065","to":null,"more":{}}"#, "everyone e {}"),
        ] {
            assert_eq!(shown(heard(message).unwrap().unwrap()), understood);
        }
    }

    #[test]
    fn what_we_say_is_nothing_to_us() {
        let ours = encoded(&Addressee::Everyone);
        assert!(is_ours(ours.as_bytes()));
        assert!(heard(&ours).unwrap().is_none());
        let turned = r#"{"event":"e", "_instance" : "\u0073witchboard:00000007"}"#;
        assert!(!is_ours(turned.as_bytes()));
        assert!(heard(turned).unwrap().is_none());
    }

    #[test]
    fn what_no_original_says_is_refused() {
        let long = format!(r#"{{"event":"{}"}}"#, "x".repeat(257));
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
            r#"{"event":"e","to":7}"#,
            r#"{"event":"e","to":""}"#,
            r#"{"event":"e","to":"chat"}"#,
            r##"{"event":"e","to":"#"}"##,
            r#"{"_instance":7,"event":"e"}"#,
            r#"{"event":"e","data":}"#,
        ] {
            assert!(heard(message).is_err(), "{message}");
        }
        let nobody = Bytes::from_static(br#"{"event":"e","targetSocketId":"somebody"}"#);
        assert!(decode_direct(&nobody).unwrap().is_none());
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_reason_to_panic(bytes: Vec<u8>) {
            let _ = is_ours(&bytes);
            let _ = decode(&bytes.clone().into());
            let _ = decode_direct(&bytes.into());
        }
    }
}
