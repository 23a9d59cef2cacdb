//! `GET /api/v1/connections`: the connections of a project on all nodes, with filters.

use std::net::IpAddr;

use serde::Serialize;
use switchboard::{Protocol, SocketId, Target};
use utoipa::ToSchema;

use super::endpoint::Context;
use super::key::now_ms;
use super::node_id::parse_node;
use super::page::{list_query, next, page};
use super::problem::{Problem, query};
use crate::connections::{ConnectionSummary, ConnectionsQuery, MatchingConnections};
use crate::node_answers;

list_query! {
    /// Which connections. One has to match every filter.
    struct Connections {
        /// Only connections of this user.
        user: Option<String>,
        /// Only connections in this room, with or without `#`.
        room: Option<String>,
        /// Only connections with this tag, with or without `*`.
        tag: Option<String>,
        /// Only connections from this IP address.
        #[param(value_type = Option<String>)]
        address: Option<IpAddr>,
        /// Only connections of this protocol: `emit`, `koji` or `mesa`.
        protocol: Option<String>,
        /// Only connections to this node.
        node: Option<String>,
    }
}

/// A page of connections in ascending order.
#[derive(Serialize, ToSchema)]
pub(super) struct ConnectionPage {
    /// The connections.
    connections: Vec<ConnectionEntry>,
    /// How many connections match on the nodes that answered.
    total: usize,
    /// Nodes that did not answer.
    missing: Vec<String>,
    /// The parameter `after` of the next page. Left out on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<String>,
    /// When the nodes answered, in ms since 1970.
    as_of_ms: u64,
}

/// A connection.
#[derive(Serialize, ToSchema)]
pub(super) struct ConnectionEntry {
    /// The id of its socket.
    #[schema(value_type = String, format = "uuid")]
    pub(super) socket: SocketId,
    /// The node that it is connected to.
    #[schema(example = "0badcafe")]
    node: String,
    /// The protocol.
    #[schema(example = "emit")]
    protocol: String,
    /// The IP address of the client. Left out if it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    address: Option<IpAddr>,
    /// The user. Left out if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    user: Option<String>,
    /// Number of its rooms.
    rooms: usize,
    /// Number of its tags.
    tags: usize,
    /// Bytes in its outbox.
    outbox_bytes: usize,
    /// True while the session has no connection and can be resumed.
    detached: bool,
}

impl From<ConnectionSummary> for ConnectionEntry {
    fn from(summary: ConnectionSummary) -> Self {
        let ConnectionSummary { socket, protocol, address, user, rooms, tags, outbox_bytes, detached } =
            summary;
        let node = socket.node().to_string();
        ConnectionEntry { socket, node, protocol, address, user, rooms, tags, outbox_bytes, detached }
    }
}

/// Lists connections on all nodes with what their nodes know of them. Every node is asked and looks at its connections, so
/// prefer `/api/v1/sockets` for programs.
#[utoipa::path(
    get,
    path = "/api/v1/connections",
    params(Connections),
    responses((status = 200, description = "The connections", body = ConnectionPage))
)]
pub(super) async fn endpoint(context: Context, request: Connections) -> Result<ConnectionPage, Problem> {
    let Connections { user, room, tag, address, protocol, node, after, limit, project } = request;
    let app = context.project(project.as_deref())?;
    if protocol.as_deref().is_some_and(|name| Protocol::ALL.iter().all(|protocol| protocol.name() != name)) {
        return Err(Problem::invalid_field("protocol", "expected emit, koji or mesa"));
    }
    for (field, target) in [
        ("user", user.as_deref().map(Target::user)),
        ("room", room.as_deref().map(Target::room)),
        ("tag", tag.as_deref().map(Target::tag)),
    ] {
        target.transpose().map_err(|error| Problem::invalid_field(field, error))?;
    }
    let place = page::<SocketId>(after, limit)?;
    let project = app.project_id().to_string();
    let (after, limit_max) = (place.after, place.limit);
    let asked = ConnectionsQuery { project, user, room, tag, address, protocol, after, limit: limit_max };
    let nodes = node.iter().map(|node| parse_node(node)).collect::<Result<Vec<_>, _>>()?;
    let answers = node_answers::connections(&app, &asked, &nodes).await.map_err(query)?;
    let (mut all, mut total, mut missing) = (Vec::new(), 0, Vec::new());
    for (node, answer) in answers {
        match answer {
            Some(MatchingConnections { connections, total: of_node }) => {
                all.extend(connections);
                total += of_node;
            }
            None => missing.push(node.to_string()),
        }
    }
    all.sort_unstable_by_key(|connection| connection.socket);
    all.truncate(limit_max);
    let next = next(&all, limit, |connection| connection.socket);
    let connections = all.into_iter().map(ConnectionEntry::from).collect();
    Ok(ConnectionPage { connections, total, missing, next, as_of_ms: now_ms() })
}
