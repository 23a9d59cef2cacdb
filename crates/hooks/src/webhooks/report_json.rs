//! A report as JSON, and the body of a call.
//!
//! ```text
//! {"reports":[{"id":"0123abcd-17","type":"joined","time":1763700000000,"project":"default","socket":"…",
//!              "protocol":"emit","user":"7","room":"#lobby"}]}
//! ```

use bytes::Bytes;
use serde::Serialize;
use switchboard_backplane::{ClientAction, Report, ReportId};
use switchboard_event::{Payload, Protocol, SocketId};

use super::event_kind::EventKind;

/// The beginning and the end of a body.
const HEAD: &[u8] = br#"{"reports":["#;
const TAIL: &[u8] = b"]}";

#[derive(Serialize, Default)]
struct ReportJson<'a> {
    id: String,
    r#type: &'static str,
    time: u64,
    project: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    socket: Option<SocketId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<SocketId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    op: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Payload>,
}

/// Encodes a report of a kind that webhooks know.
pub(crate) fn encode(id: ReportId, kind: EventKind, report: &Report) -> Bytes {
    let mut json = ReportJson {
        id: id.to_string(),
        r#type: kind.name(),
        time: report.time_ms,
        project: &report.project,
        socket: has_client(kind).then_some(report.socket),
        protocol: report.protocol.map(Protocol::name),
        user: report.user.as_deref(),
        ..ReportJson::default()
    };
    match &report.action {
        ClientAction::Disconnected { code } => json.code = Some(*code),
        ClientAction::Resumed { previous } => json.previous = Some(*previous),
        ClientAction::Drained => json.node = Some(report.socket.node().to_string()),
        ClientAction::Joined(room)
        | ClientAction::Left(room)
        | ClientAction::Occupied(room)
        | ClientAction::Vacated(room) => json.room = Some(room),
        ClientAction::Message(message) => {
            json.op = (report.protocol == Some(Protocol::Mesa)).then_some(message.op);
            (json.event, json.data) = (message.kind.as_deref(), Some(&message.data));
        }
        ClientAction::Undeliverable { event, data } => {
            (json.event, json.data) = (Some(event.as_str()), Some(data))
        }
        _ => {}
    }
    serde_json::to_vec(&json).expect("texts, numbers and payloads are JSON").into()
}

/// Returns true for the kinds that report an action of one client.
fn has_client(kind: EventKind) -> bool {
    !matches!(kind, EventKind::Occupied | EventKind::Vacated | EventKind::Undeliverable | EventKind::Drained)
}

/// The body of a call with these reports.
pub(crate) fn body<'a>(reports: impl Iterator<Item = &'a Bytes> + Clone) -> Bytes {
    let len: usize = reports.clone().map(|report| report.len() + 1).sum();
    let mut body = Vec::with_capacity(HEAD.len() + len + TAIL.len());
    body.extend_from_slice(HEAD);
    for (index, report) in reports.enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(report);
    }
    body.extend_from_slice(TAIL);
    body.into()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use switchboard_backplane::ClientMessage;
    use switchboard_event::{Name, NodeId, ProjectId, RoomName, UserId};

    use super::*;

    fn encoded(protocol: Option<Protocol>, action: ClientAction) -> Value {
        let socket = SocketId::from_bytes([7; 16]);
        let user = Some(UserId::new("7").unwrap());
        let report =
            Report { project: ProjectId::new("p").unwrap(), socket, protocol, user, time_ms: 5, action };
        let id = ReportId { node: NodeId(0x0123_abcd), number: 17 };
        let bytes = encode(id, EventKind::of(&report.action).unwrap(), &report);
        let mut value: Value = serde_json::from_slice(&bytes).unwrap();
        let fields = value.as_object_mut().unwrap();
        let common = ["id", "time", "project", "user"].map(|name| fields.remove(name).unwrap());
        assert_eq!(json!(common), json!(["0123abcd-17", 5, "p", "7"]));
        value
    }

    #[test]
    fn each_kind_of_report_has_its_fields() {
        let socket = "07070707-0707-0707-0707-070707070707";
        let room = || RoomName::new("lobby").unwrap();
        let emit = Some(Protocol::Emit);
        assert_eq!(
            encoded(emit, ClientAction::Connected),
            json!({ "type": "connected", "socket": socket, "protocol": "emit" })
        );
        assert_eq!(
            encoded(None, ClientAction::Disconnected { code: 1006 }),
            json!({ "type": "disconnected", "socket": socket, "code": 1006 })
        );
        assert_eq!(
            encoded(emit, ClientAction::Joined(room())),
            json!({ "type": "joined", "socket": socket, "protocol": "emit", "room": "#lobby" })
        );
        assert_eq!(
            encoded(None, ClientAction::Vacated(room())),
            json!({ "type": "vacated", "room": "#lobby" })
        );
        let previous = SocketId::from_bytes([8; 16]);
        assert_eq!(
            encoded(emit, ClientAction::Resumed { previous }),
            json!({ "type": "resumed", "socket": socket, "protocol": "emit", "previous": previous })
        );
        let message = |op| {
            let (kind, data) = (Some(Name::new("/hi").unwrap()), Payload::parse(r#"{"a":1}"#).unwrap());
            ClientAction::Message(ClientMessage { op, kind, data, reply_to: None })
        };
        assert_eq!(
            encoded(emit, message(0)),
            json!({ "type": "message", "socket": socket, "protocol": "emit", "event": "/hi", "data": { "a": 1 } })
        );
        assert_eq!(encoded(Some(Protocol::Mesa), message(22))["op"], 22);
        assert_eq!(encoded(None, ClientAction::Drained), json!({ "type": "drained", "node": "07070707" }));
        let event = Name::new("mail").unwrap();
        assert_eq!(
            encoded(None, ClientAction::Undeliverable { event, data: Payload::NULL }),
            json!({ "type": "undeliverable", "event": "mail", "data": null })
        );
    }

    #[test]
    fn a_body_lists_reports() {
        let reports = [Bytes::from("1"), Bytes::from("2")];
        assert_eq!(body(reports.iter()), r#"{"reports":[1,2]}"#);
        assert_eq!(body([].iter()), r#"{"reports":[]}"#);
    }
}
