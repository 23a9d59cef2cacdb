//! The encoding of a publication in one Redis message: a short binary header around raw JSON.
//!
//! ```text
//! version 1 │ kind │ node (4) │ number (8) │ project │ …
//!   event   │ except │ to │ policy │ the event: the rest
//!   recorded │ except │ to │ policy │ epoch (8) │ offset (8) │ the event: the rest
//!   control │ except │ to │ the rest
//!   answer  │ except │ to │ the data: the rest
//!   stored  │ except │ to │ the event: the rest; the number is the message's
//!   close   │ except │ to │ code (2) │ reason: the rest
//!   shard changed │ the shard's name: the rest
//! ```
//!
//! Numbers are big-endian. A text has a length of two bytes, a list a count of four bytes.

use bytes::{Buf, Bytes};
use switchboard_backplane::{Content, Publication};
use switchboard_event::{
    Audience, Epoch, Event, LatestKey, MessageNumber, NodeId, OverflowPolicy, Payload, Position, ProjectId,
    SocketId, Target,
};

const VERSION: u8 = 1;

const EVENT: u8 = 1;
const CONTROL: u8 = 2;
const SHARD_CHANGED: u8 = 3;
const CLOSE: u8 = 4;
const STORED: u8 = 5;
const ANSWER: u8 = 6;
const RECORDED: u8 = 7;

/// Offset of the number: version, kind and node come before it.
const NUMBER_AT: usize = 6;

const LIVE: u8 = 0;
const VOLATILE: u8 = 1;
const OLDEST: u8 = 2;
/// With the text of the key.
const LATEST_TEXT: u8 = 3;
const LATEST_EVENT: u8 = 4;

/// Identifies a publication: its node, and its number on that node. All copies have the same stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) node: NodeId,
    pub(crate) number: u64,
}

/// Why a message cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a publication: {0}")]
pub(crate) struct EnvelopeError(&'static str);

pub(crate) fn encode(publication: &Publication, stamp: Stamp) -> Bytes {
    let Publication { project, audience, content } = publication;
    match content {
        Content::Event { event, policy, position } => {
            let kind = if position.is_some() { RECORDED } else { EVENT };
            let mut out = head(kind, stamp, project, 96 + event.data.as_bytes().len());
            write_audience(&mut out, audience);
            write_policy(&mut out, policy);
            if let Some(Position { epoch, offset }) = position {
                out.extend_from_slice(&epoch.0.to_be_bytes());
                out.extend_from_slice(&offset.to_be_bytes());
            }
            event.write(&mut out);
            out.into()
        }
        Content::Control(bytes) => {
            let mut out = head(CONTROL, stamp, project, 96 + bytes.len());
            write_audience(&mut out, audience);
            out.extend_from_slice(bytes);
            out.into()
        }
        Content::Answer(data) => {
            let mut out = head(ANSWER, stamp, project, 96 + data.as_bytes().len());
            write_audience(&mut out, audience);
            out.extend_from_slice(data.as_bytes());
            out.into()
        }
        Content::Close { code, reason } => {
            let mut out = head(CLOSE, stamp, project, 96 + reason.len());
            write_audience(&mut out, audience);
            out.extend_from_slice(&code.to_be_bytes());
            out.extend_from_slice(reason.as_bytes());
            out.into()
        }
        Content::Stored { number, event } => {
            let stamp = Stamp { number: number.0, ..stamp };
            let mut out = head(STORED, stamp, project, 96 + event.data.as_bytes().len());
            write_audience(&mut out, audience);
            event.write(&mut out);
            out.into()
        }
        Content::ShardChanged(shard) => shard_changed(stamp.node, project, shard).into(),
    }
}

/// Bytes of a position.
pub(crate) const POSITION_BYTES: usize = 16;

/// An encoded event with a position, in two parts around the position.
pub(crate) fn around_position(publication: &Publication, stamp: Stamp) -> [Bytes; 2] {
    let Publication { project, audience, content } = publication;
    let mut out = head(RECORDED, stamp, project, 96);
    write_audience(&mut out, audience);
    out.push(LIVE);
    let mut event_bytes = Vec::new();
    if let Content::Event { event, .. } = content {
        event.write(&mut event_bytes);
    }
    [out.into(), event_bytes.into()]
}

/// Returns true if a message is an event with a position.
pub(crate) fn is_recorded(message: &[u8]) -> bool {
    message.get(1) == Some(&RECORDED)
}

/// An encoded publication without its targets, in two parts around them.
pub(crate) fn around_targets(publication: &Publication, stamp: Stamp) -> [Bytes; 2] {
    let audience = Audience { to: Vec::new(), except: publication.audience.except.clone() };
    let mut head = encode(&Publication { audience, ..publication.clone() }, stamp);
    let mut except = Vec::new();
    write_targets(&mut except, &publication.audience.except);
    let mut tail = head.split_off(NUMBER_AT + 8 + 2 + publication.project.len() + except.len());
    tail.advance(4);
    [head, tail]
}

/// An encoded stored message up to its targets, in two parts around its number. It belongs to no node, so that
/// the node that stored it receives it as well.
pub(crate) fn around_number(project: &ProjectId) -> [Vec<u8>; 2] {
    let mut head = head(STORED, Stamp { node: NodeId(0), number: 0 }, project, 4);
    write_targets(&mut head, &[]);
    let behind = head.split_off(NUMBER_AT + 8);
    head.truncate(NUMBER_AT);
    [head, behind]
}

/// Encodes a change of a shard. Scripts append the shard's name to one with an empty name.
pub(crate) fn shard_changed(node: NodeId, project: &ProjectId, shard: &str) -> Vec<u8> {
    let mut out = head(SHARD_CHANGED, Stamp { node, number: 0 }, project, shard.len());
    out.extend_from_slice(shard.as_bytes());
    out
}

/// The stamp of a message, without decoding the rest.
pub(crate) fn origin(mut message: &[u8]) -> Option<Stamp> {
    (message.len() >= 14 && message.get_u8() == VERSION).then(|| {
        message.advance(1);
        Stamp { node: NodeId(message.get_u32()), number: message.get_u64() }
    })
}

pub(crate) fn decode(mut message: Bytes) -> Result<Publication, EnvelopeError> {
    let truncated = EnvelopeError("truncated");
    if message.try_get_u8().map_err(|_| truncated.clone())? != VERSION {
        return Err(EnvelopeError("another version"));
    }
    let kind = message.try_get_u8().map_err(|_| truncated)?;
    take::<4>(&mut message)?;
    let number = u64::from_be_bytes(take(&mut message)?);
    let project = name(&take_text(&mut message)?)?;
    if kind == SHARD_CHANGED {
        let shard = name(&message)?;
        let (audience, content) = (Target::shard(&shard).into(), Content::ShardChanged(shard));
        return Ok(Publication { project, audience, content });
    }
    let (except, to) = (take_targets(&mut message)?, take_targets(&mut message)?);
    let audience = Audience { to, except };
    let content = match kind {
        EVENT => take_event(message, false)?,
        RECORDED => take_event(message, true)?,
        CONTROL => Content::Control(message),
        CLOSE => take_close(message)?,
        ANSWER => Content::Answer(Payload::parse_bytes(message).map_err(|_| EnvelopeError("not JSON"))?),
        STORED => Content::Stored { number: MessageNumber(number), event: event(message)? },
        _ => return Err(EnvelopeError("unknown kind")),
    };
    Ok(Publication { project, audience, content })
}

fn head(kind: u8, stamp: Stamp, project: &ProjectId, more: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 + project.len() + more);
    out.extend_from_slice(&[VERSION, kind]);
    out.extend_from_slice(&stamp.node.0.to_be_bytes());
    out.extend_from_slice(&stamp.number.to_be_bytes());
    write_text(&mut out, project);
    out
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    let len = u16::try_from(text.len()).expect("a name has at most 256 bytes");
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Users in the encoding of an audience, without their count.
pub(crate) fn users(users: &[&str]) -> Vec<u8> {
    let mut out = Vec::with_capacity(users.iter().map(|user| 3 + user.len()).sum());
    users.iter().for_each(|user| write_user(&mut out, user));
    out
}

fn write_user(out: &mut Vec<u8>, user: &str) {
    out.push(b'@');
    write_text(out, user);
}

fn write_audience(out: &mut Vec<u8>, audience: &Audience) {
    write_targets(out, &audience.except);
    write_targets(out, &audience.to);
}

fn write_targets(out: &mut Vec<u8>, targets: &[Target]) {
    let count = u32::try_from(targets.len()).expect("an audience has fewer than 2^32 targets");
    out.extend_from_slice(&count.to_be_bytes());
    for target in targets {
        match target {
            Target::Everyone => out.push(b'='),
            Target::Socket(id) => {
                out.push(b'!');
                out.extend_from_slice(id.as_bytes());
            }
            Target::User(id) => write_user(out, id),
            Target::Room(name) => write_sigil_name(out, name),
            Target::Tag(name) => write_sigil_name(out, name),
        }
    }
}

fn write_sigil_name(out: &mut Vec<u8>, name: &str) {
    let (sigil, rest) = name.split_at(1);
    out.push(sigil.as_bytes()[0]);
    write_text(out, rest);
}

fn take<const N: usize>(message: &mut Bytes) -> Result<[u8; N], EnvelopeError> {
    let mut array = [0; N];
    message.try_copy_to_slice(&mut array).map_err(|_| EnvelopeError("truncated"))?;
    Ok(array)
}

fn take_text(message: &mut Bytes) -> Result<Bytes, EnvelopeError> {
    let len = usize::from(u16::from_be_bytes(take(message)?));
    if len > message.len() {
        return Err(EnvelopeError("truncated"));
    }
    Ok(message.split_to(len))
}

fn text(bytes: &[u8]) -> Result<&str, EnvelopeError> {
    std::str::from_utf8(bytes).map_err(|_| EnvelopeError("a name is not UTF-8"))
}

fn name<T: for<'a> TryFrom<&'a str>>(bytes: &[u8]) -> Result<T, EnvelopeError> {
    T::try_from(text(bytes)?).map_err(|_| EnvelopeError("a name is empty or too long"))
}

fn take_targets(message: &mut Bytes) -> Result<Vec<Target>, EnvelopeError> {
    let count = u32::from_be_bytes(take(message)?);
    let mut targets = Vec::new();
    for _ in 0..count {
        targets.push(take_target(message)?);
    }
    Ok(targets)
}

fn take_target(message: &mut Bytes) -> Result<Target, EnvelopeError> {
    let [kind] = take(message)?;
    Ok(match kind {
        b'=' => Target::Everyone,
        b'!' => Target::Socket(SocketId::from_bytes(take(message)?)),
        b'@' => Target::User(name(&take_text(message)?)?),
        // A shard's room begins with two: only the first one is the sigil.
        b'#' => Target::shard(&name(&take_text(message)?)?),
        b'*' => Target::tag(&format!("*{}", text(&take_text(message)?)?))
            .map_err(|_| EnvelopeError("a name is empty or too long"))?,
        _ => return Err(EnvelopeError("a target of an unknown kind")),
    })
}

fn take_event(mut message: Bytes, is_recorded: bool) -> Result<Content, EnvelopeError> {
    let policy = take_policy(&mut message)?;
    let mut number = || Ok(u64::from_be_bytes(take(&mut message)?));
    let position = match is_recorded {
        true => Some(Position { epoch: Epoch(number()?), offset: number()? }),
        false => None,
    };
    Ok(Content::Event { event: event(message)?, policy, position })
}

fn write_policy(out: &mut Vec<u8>, policy: &OverflowPolicy) {
    match policy {
        OverflowPolicy::Volatile => out.push(VOLATILE),
        OverflowPolicy::Oldest => out.push(OLDEST),
        OverflowPolicy::Latest(LatestKey::Event) => out.push(LATEST_EVENT),
        OverflowPolicy::Latest(LatestKey::Text(text)) => {
            out.push(LATEST_TEXT);
            write_text(out, text);
        }
        _ => out.push(LIVE),
    }
}

fn take_policy(message: &mut Bytes) -> Result<OverflowPolicy, EnvelopeError> {
    Ok(match take(message)? {
        [LIVE] => OverflowPolicy::Live,
        [VOLATILE] => OverflowPolicy::Volatile,
        [OLDEST] => OverflowPolicy::Oldest,
        [LATEST_EVENT] => OverflowPolicy::Latest(LatestKey::Event),
        [LATEST_TEXT] => OverflowPolicy::Latest(LatestKey::Text(name(&take_text(message)?)?)),
        _ => return Err(EnvelopeError("an unknown overflow policy")),
    })
}

fn take_close(mut message: Bytes) -> Result<Content, EnvelopeError> {
    let code = u16::from_be_bytes(take(&mut message)?);
    Ok(Content::Close { code, reason: text(&message)?.into() })
}

fn event(message: Bytes) -> Result<Event, EnvelopeError> {
    Event::read(message).map_err(|_| EnvelopeError("the event cannot be read"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use switchboard_event::{Name, ShardName, TraceId};

    const STAMP: Stamp = Stamp { node: NodeId(7), number: 1 << 40 };

    fn long(sigil: char) -> String {
        format!("{sigil}{}", "x".repeat(256))
    }

    fn sample(audience: Audience) -> Publication {
        let event = Event {
            name: Name::new("said").unwrap(),
            data: Payload::parse(r#"{"text":"hé"}"#).unwrap(),
            sender: Some(SocketId::random()),
            time_ms: 1_700_000_000_000,
            trace: Some(TraceId::random()),
        };
        let content = Content::Event { event, policy: OverflowPolicy::Volatile, position: None };
        Publication { project: ProjectId::new("a:b").unwrap(), audience, content }
    }

    #[test]
    fn an_encoded_publication_decodes_to_the_same() {
        let audience = Audience::everyone()
            .and(Target::room(&long('#')).unwrap())
            .and(Target::shard(&ShardName::new("#odd").unwrap()))
            .and(Target::tag("**t").unwrap())
            .and(Target::user("@7").unwrap())
            .except(SocketId::random());
        let control =
            Publication { content: Content::Control(Bytes::from_static(b"\0x")), ..sample(audience.clone()) };
        let close = Publication {
            content: Content::Close { code: 4000, reason: "bye".into() },
            ..sample(audience.clone())
        };
        let Content::Event { event, .. } = sample(audience.clone()).content else { unreachable!() };
        let stored = Publication {
            content: Content::Stored { number: MessageNumber(STAMP.number), event },
            ..sample(audience.clone())
        };
        let Content::Event { event, policy, .. } = sample(audience.clone()).content else { unreachable!() };
        let with_policy = |policy| {
            let content = Content::Event { event: event.clone(), policy, position: None };
            Publication { content, ..sample(audience.clone()) }
        };
        let text = LatestKey::Text(Name::new("cursor 7").unwrap());
        let oldest = with_policy(OverflowPolicy::Oldest);
        let by_event = with_policy(OverflowPolicy::Latest(LatestKey::Event));
        let by_text = with_policy(OverflowPolicy::Latest(text));
        let position = Some(Position { epoch: Epoch(u64::MAX), offset: 7 });
        let recorded = Publication {
            content: Content::Event { event: event.clone(), policy, position },
            ..sample(audience.clone())
        };
        let answer = Content::Answer(Payload::parse("[1e400]").unwrap());
        let answer = Publication { content: answer, ..sample(audience.clone()) };
        let shard = ShardName::new("lobby").unwrap();
        let changed = Publication {
            project: ProjectId::new("p").unwrap(),
            audience: Target::shard(&shard).into(),
            content: Content::ShardChanged(shard),
        };
        for publication in [
            sample(audience),
            sample(Audience::default()),
            control,
            changed,
            close,
            stored,
            answer,
            recorded,
            oldest,
            by_event,
            by_text,
        ] {
            let bytes = encode(&publication, STAMP);
            assert_eq!(origin(&bytes).unwrap().node, STAMP.node);
            assert_eq!(format!("{:?}", decode(bytes).unwrap()), format!("{publication:?}"));
        }
    }

    #[test]
    fn parts_around_the_targets_form_the_whole_publication() {
        let some = Audience::from(Target::user("7").unwrap()).and(Target::user("8").unwrap());
        let publication = sample(some.except(SocketId::random()));
        let [head, tail] = around_targets(&publication, STAMP);
        let together = [&head, &2u32.to_be_bytes()[..], &users(&["7", "8"]), &tail].concat();
        assert_eq!(together, encode(&publication, STAMP));
    }

    #[test]
    fn a_truncated_publication_is_refused_and_a_changed_one_does_not_panic() {
        let bytes = encode(&sample(Audience::everyone().except(SocketId::random())), STAMP);
        for len in 0..bytes.len() {
            assert!(decode(bytes.slice(..len)).is_err(), "{len}");
        }
        for place in 0..bytes.len() {
            let mut changed = bytes.to_vec();
            changed[place] ^= 0x81;
            let _ = decode(changed.into());
        }
    }

    proptest! {
        #[test]
        fn no_input_panics(mut bytes: Vec<u8>, kind in 0u8..9) {
            let _ = decode(bytes.clone().into());
            let _ = origin(&bytes);
            bytes.splice(0..0, [VERSION, kind]);
            let _ = decode(bytes.into());
        }
    }
}
