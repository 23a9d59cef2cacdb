//! Reports in the format of original Portals.

use serde::Serialize;
use switchboard_backplane::{ClientAction, ClientMessage, Report};
use switchboard_event::Payload;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PortalReport<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    portal_id: &'a str,
}

#[derive(Serialize)]
struct Message<'a> {
    op: i64,
    d: &'a Payload,
    #[serde(skip_serializing_if = "Option::is_none")]
    t: Option<&'a str>,
}

/// Encodes a report for a Portal. `None` for an action that Portals do not know.
pub(super) fn encode(report: &Report, portal: &str) -> Option<Vec<u8>> {
    let (kind, message) = match &report.action {
        ClientAction::Connected => ("connection", None),
        ClientAction::Authenticated => ("authentication", None),
        ClientAction::Disconnected { .. } => ("disconnection", None),
        ClientAction::Message(ClientMessage { op, kind, data, .. }) => {
            ("message", Some(Message { op: *op, d: data, t: kind.as_deref() }))
        }
        _ => return None,
    };
    let report = PortalReport { r#type: kind, message, client_id: report.user.as_deref(), portal_id: portal };
    Some(serde_json::to_vec(&report).expect("texts, numbers and payloads are JSON"))
}

#[cfg(test)]
mod tests {
    use switchboard_event::{Name, ProjectId, Protocol, SocketId, UserId};

    use super::*;

    #[test]
    fn encoded_reports_are_those_of_original_servers() {
        let encoded = |user: Option<&str>, action| {
            let (project, socket) = (ProjectId::new("p").unwrap(), SocketId::random());
            let user = user.map(|user| UserId::new(user).unwrap());
            let report = Report { project, socket, protocol: Some(Protocol::Mesa), user, time_ms: 7, action };
            String::from_utf8(encode(&report, "P").unwrap()).unwrap()
        };
        let message = |kind: Option<&str>| {
            let kind = kind.map(|kind| Name::new(kind).unwrap());
            ClientAction::Message(ClientMessage { op: 0, kind, data: Payload::EMPTY, reply_to: None })
        };
        assert_eq!(encoded(None, ClientAction::Connected), r#"{"type":"connection","portalId":"P"}"#);
        assert_eq!(
            encoded(Some("1"), ClientAction::Authenticated),
            r#"{"type":"authentication","clientId":"1","portalId":"P"}"#
        );
        assert_eq!(
            encoded(Some("1"), message(Some("PING"))),
            r#"{"type":"message","message":{"op":0,"d":{},"t":"PING"},"clientId":"1","portalId":"P"}"#
        );
        assert_eq!(
            encoded(None, message(None)),
            r#"{"type":"message","message":{"op":0,"d":{}},"portalId":"P"}"#
        );
        assert_eq!(
            encoded(Some("1"), ClientAction::Disconnected { code: 1000 }),
            r#"{"type":"disconnection","clientId":"1","portalId":"P"}"#
        );
    }
}
