//! A report as the entry of a stream: JSON, so that every language can read it.
//!
//! ```text
//! {"id":"0123abcd-17","socket":"…","protocol":"mesa","user":"7","time":1763700000000,
//!  "type":"message","op":0,"name":"PING","data":{},"answer":{"project":"…","call":"…"}}
//! ```
//!
//! `type` is `connection`, `authentication`, `message`, or `disconnection`, which has a `code`. `protocol`, `user`, `name`
//! and `answer` are optional. The project is that of the stream.
//!
//! Streams of webhooks also contain `joined`, `left`, `occupied` and `vacated`, which have a `room`, and `undeliverable`,
//! which has a `name` and `data`, `resumed`, which has the `previous` socket, and `drained`, whose `socket` begins with the id of the node.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use switchboard_backplane::{ClientAction, ClientMessage, ReplyAddress, Report, ReportId};
use switchboard_event::{Name, NameError, NodeId, Payload, ProjectId, Protocol, RoomName, SocketId, UserId};

/// Why an entry cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReportDecodeError {
    #[error("not a report")]
    Shape(#[from] serde_json::Error),
    #[error("a report has an invalid name")]
    Name(#[from] NameError),
    #[error("a report has no {0}")]
    Missing(&'static str),
}

/// `D` is the type of the data: a payload to be encoded, raw JSON to be decoded.
#[derive(Serialize, Deserialize)]
struct Record<'a, D> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    socket: SocketId,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<RecordProtocol>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    user: Option<Cow<'a, str>>,
    time: u64,
    r#type: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    op: Option<i64>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
    #[serde(
        default = "Option::default",
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present",
        bound(deserialize = "D: Deserialize<'de>")
    )]
    data: Option<D>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    answer: Option<Address<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    room: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<SocketId>,
}

/// Reads a field that is there: `null` is data, unlike a missing field.
fn present<'de, D: Deserialize<'de>, F: Deserializer<'de>>(field: F) -> Result<Option<D>, F::Error> {
    D::deserialize(field).map(Some)
}

#[derive(Serialize, Deserialize)]
struct Address<'a> {
    #[serde(borrow)]
    project: Cow<'a, str>,
    call: SocketId,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RecordProtocol {
    Emit,
    Koji,
    Mesa,
}

#[derive(Serialize, Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Connection,
    Authentication,
    Message,
    Disconnection,
    Resumed,
    Joined,
    Left,
    Occupied,
    Vacated,
    Undeliverable,
    Drained,
}

pub(super) fn encode(id: ReportId, report: &Report) -> Vec<u8> {
    let mut record: Record<'_, &Payload> = Record {
        id: id.to_string().into(),
        socket: report.socket,
        protocol: report.protocol.map(|protocol| match protocol {
            Protocol::Emit => RecordProtocol::Emit,
            Protocol::Koji => RecordProtocol::Koji,
            Protocol::Mesa => RecordProtocol::Mesa,
        }),
        user: report.user.as_deref().map(Into::into),
        time: report.time_ms,
        r#type: Kind::Connection,
        op: None,
        name: None,
        data: None,
        answer: None,
        code: None,
        room: None,
        previous: None,
    };
    match &report.action {
        ClientAction::Connected => {}
        ClientAction::Authenticated => record.r#type = Kind::Authentication,
        ClientAction::Drained => record.r#type = Kind::Drained,
        ClientAction::Disconnected { code } => {
            (record.r#type, record.code) = (Kind::Disconnection, Some(*code))
        }
        ClientAction::Resumed { previous } => {
            (record.r#type, record.previous) = (Kind::Resumed, Some(*previous))
        }
        ClientAction::Message(ClientMessage { op, kind, data, reply_to }) => {
            record.r#type = Kind::Message;
            (record.op, record.data) = (Some(*op), Some(data));
            record.name = kind.as_deref().map(Into::into);
            let address =
                |to: &'_ ReplyAddress| Address { project: to.project.to_string().into(), call: to.call };
            record.answer = reply_to.as_ref().map(address);
        }
        ClientAction::Undeliverable { event, data } => {
            record.r#type = Kind::Undeliverable;
            (record.name, record.data) = (Some((&**event).into()), Some(data));
        }
        other => {
            let (kind, room) = room_record(other).expect("all other actions have a room");
            (record.r#type, record.room) = (kind, Some(room.into()));
        }
    }
    serde_json::to_vec(&record).expect("texts, numbers and payloads are JSON")
}

fn room_record(action: &ClientAction) -> Option<(Kind, &str)> {
    Some(match action {
        ClientAction::Joined(room) => (Kind::Joined, room),
        ClientAction::Left(room) => (Kind::Left, room),
        ClientAction::Occupied(room) => (Kind::Occupied, room),
        ClientAction::Vacated(room) => (Kind::Vacated, room),
        _ => return None,
    })
}

pub(super) fn decode(project: &ProjectId, bytes: &Bytes) -> Result<(ReportId, Report), ReportDecodeError> {
    let record: Record<'_, &RawValue> = serde_json::from_slice(bytes)?;
    let id = report_id(&record.id).ok_or(ReportDecodeError::Missing("id"))?;
    let action = match record.r#type {
        Kind::Connection => ClientAction::Connected,
        Kind::Authentication => ClientAction::Authenticated,
        Kind::Disconnection => {
            ClientAction::Disconnected { code: record.code.ok_or(ReportDecodeError::Missing("code"))? }
        }
        Kind::Resumed => {
            ClientAction::Resumed { previous: record.previous.ok_or(ReportDecodeError::Missing("previous"))? }
        }
        Kind::Message => {
            let data = record.data.ok_or(ReportDecodeError::Missing("data"))?;
            let address = |to: Address<'_>| {
                Ok::<_, NameError>(ReplyAddress { project: ProjectId::new(&to.project)?, call: to.call })
            };
            ClientAction::Message(ClientMessage {
                op: record.op.unwrap_or(0),
                kind: record.name.map(|name| Name::new(&name)).transpose()?,
                data: Payload::slice_of(bytes, data),
                reply_to: record.answer.map(address).transpose()?,
            })
        }
        Kind::Undeliverable => {
            let name = record.name.ok_or(ReportDecodeError::Missing("name"))?;
            let data = record.data.ok_or(ReportDecodeError::Missing("data"))?;
            ClientAction::Undeliverable { event: Name::new(&name)?, data: Payload::slice_of(bytes, data) }
        }
        Kind::Drained => ClientAction::Drained,
        kind @ (Kind::Joined | Kind::Left | Kind::Occupied | Kind::Vacated) => {
            let room = RoomName::new(&record.room.ok_or(ReportDecodeError::Missing("room"))?)?;
            match kind {
                Kind::Joined => ClientAction::Joined(room),
                Kind::Left => ClientAction::Left(room),
                Kind::Occupied => ClientAction::Occupied(room),
                _ => ClientAction::Vacated(room),
            }
        }
    };
    let protocol = record.protocol.map(|protocol| match protocol {
        RecordProtocol::Emit => Protocol::Emit,
        RecordProtocol::Koji => Protocol::Koji,
        RecordProtocol::Mesa => Protocol::Mesa,
    });
    let (project, user) = (project.clone(), record.user.map(|user| UserId::new(&user)).transpose()?);
    Ok((id, Report { project, socket: record.socket, protocol, user, time_ms: record.time, action }))
}

fn report_id(text: &str) -> Option<ReportId> {
    let (node, number) = text.split_once('-')?;
    let node = NodeId(u32::from_str_radix(node, 16).ok()?);
    Some(ReportId { node, number: number.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: ReportId = ReportId { node: NodeId(0x0123_abcd), number: 1 << 40 };

    fn report(action: ClientAction) -> Report {
        Report {
            project: ProjectId::new("p").unwrap(),
            socket: SocketId::random(),
            protocol: Some(Protocol::Mesa),
            user: Some(UserId::new("\"7\"").unwrap()),
            time_ms: 7,
            action,
        }
    }

    fn message(kind: Option<&str>, reply_to: Option<ReplyAddress>) -> ClientAction {
        let kind = kind.map(|kind| Name::new(kind).unwrap());
        ClientAction::Message(ClientMessage {
            op: -3,
            kind,
            data: Payload::parse(r#"{"a": 1e400}"#).unwrap(),
            reply_to,
        })
    }

    #[test]
    fn an_encoded_report_decodes_to_the_same() {
        let reply_to = ReplyAddress { project: ProjectId::new("h\n").unwrap(), call: SocketId::random() };
        for action in [
            ClientAction::Connected,
            ClientAction::Authenticated,
            ClientAction::Disconnected { code: 1006 },
            ClientAction::Resumed { previous: SocketId::from_bytes([1; 16]) },
            message(None, None),
            message(Some("a\"b"), Some(reply_to)),
            ClientAction::Message(ClientMessage { op: 0, kind: None, data: Payload::NULL, reply_to: None }),
            ClientAction::Joined(RoomName::new("#a").unwrap()),
            ClientAction::Left(RoomName::new("#a").unwrap()),
            ClientAction::Occupied(RoomName::new("#\"").unwrap()),
            ClientAction::Vacated(RoomName::new("#a").unwrap()),
            ClientAction::Undeliverable { event: Name::new("mail").unwrap(), data: Payload::NULL },
            ClientAction::Drained,
        ] {
            let before = report(action);
            let bytes = encode(ID, &before).into();
            let (id, after) = decode(&before.project, &bytes).unwrap();
            assert_eq!((id, format!("{after:?}")), (ID, format!("{before:?}")));
            let bare = Report { user: None, protocol: None, ..before };
            let (_, decoded) = decode(&bare.project, &encode(ID, &bare).into()).unwrap();
            assert!(decoded.user.is_none() && decoded.protocol.is_none());
        }
    }

    #[test]
    fn an_invalid_report_is_refused() {
        let project = ProjectId::new("p").unwrap();
        let whole = String::from_utf8(encode(ID, &report(message(Some("x"), None)))).unwrap();
        let without = |part: &str, other: &str| {
            assert!(whole.contains(part), "{whole} {part}");
            whole.replace(part, other)
        };
        for bad in [
            String::new(),
            "null".into(),
            "{}".into(),
            without("0123abcd-", ""),
            without("\"mesa\"", "\"morse\""),
            without("message", "disconnection"),
            without("\"data\":{\"a\": 1e400}", "\"more\":1"),
            without("\"name\":\"x\"", "\"name\":\"\""),
        ] {
            assert!(decode(&project, &bad.clone().into()).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_input_panics(bytes: Vec<u8>) {
            let _ = decode(&ProjectId::new("p").unwrap(), &bytes.into());
        }
    }
}
