//! The question to a backend.

use std::collections::BTreeMap;

use serde::Serialize;
use switchboard::access::ConnectingClient;
use switchboard::{ConnectionInfo, Payload, Protocol, Request, SocketId};

use super::options::CONNECT;

/// The body of a call.
#[derive(Serialize)]
pub(super) struct Question<'a> {
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Payload>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wants_reply: Option<bool>,
    project: &'a str,
    socket: SocketId,
    protocol: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rooms: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    /// Of the handshake.
    path: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    query: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<&'a str, &'a str>,
}

impl<'a> Question<'a> {
    /// The question about an event of a client. `headers` are the names of the headers that it contains.
    pub(super) fn of_event(headers: &'a [String], request: &'a Request) -> Self {
        let socket = request.socket();
        let texts = |names: Vec<_>| names.iter().map(ToString::to_string).collect();
        Question {
            data: Some(request.payload()),
            wants_reply: Some(request.wants_reply()),
            user: socket.user().map(|user| user.to_string()),
            rooms: texts(socket.rooms()),
            tags: socket.tags().iter().map(ToString::to_string).collect(),
            ..Question::of(headers, request.event(), socket.id(), socket.protocol(), request.info())
        }
        .in_project(request.app().project_id())
    }

    /// The question about a client that wants to connect.
    pub(super) fn of_connect(headers: &'a [String], client: &'a ConnectingClient<'a>) -> Self {
        Question::of(headers, CONNECT, client.socket, client.protocol, client.info).in_project(client.project)
    }

    fn of(
        headers: &'a [String],
        event: &'a str,
        socket: SocketId,
        protocol: Protocol,
        info: &'a ConnectionInfo,
    ) -> Self {
        let header = |name: &'a String| Some((name.as_str(), info.header(name)?));
        Question {
            event,
            data: None,
            wants_reply: None,
            project: "",
            socket,
            protocol: protocol.name(),
            user: None,
            rooms: Vec::new(),
            tags: Vec::new(),
            path: info.path(),
            query: info.raw_query(),
            address: info.ip().map(|ip| ip.to_string()),
            headers: headers.iter().filter_map(header).collect(),
        }
    }

    fn in_project(self, project: &'a str) -> Self {
        Question { project, ..self }
    }
}
