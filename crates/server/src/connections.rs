//! The connections of this node, for queries of nodes: a list with filters, and one of them in detail.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use switchboard::{App, ProjectId, Socket, SocketId, Target};
use switchboard_backplane::LocalMembers;

/// Most names of rooms, and of tags, of one connection that are shown.
const NAMES_MAX: usize = 200;

/// Which connections. A connection has to match every filter that is set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ConnectionsQuery {
    pub(crate) project: String,
    pub(crate) user: Option<String>,
    pub(crate) room: Option<String>,
    pub(crate) tag: Option<String>,
    pub(crate) address: Option<IpAddr>,
    /// The name of a protocol.
    pub(crate) protocol: Option<String>,
    /// Only those with a higher id.
    pub(crate) after: Option<SocketId>,
    pub(crate) limit: usize,
}

/// The connections of a node that match.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct MatchingConnections {
    /// Those of the page, by id.
    pub(crate) connections: Vec<ConnectionSummary>,
    /// How many match, also outside of the page.
    pub(crate) total: usize,
}

/// One connection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ConnectionSummary {
    pub(crate) socket: SocketId,
    pub(crate) protocol: String,
    pub(crate) address: Option<IpAddr>,
    pub(crate) user: Option<String>,
    pub(crate) rooms: usize,
    pub(crate) tags: usize,
    pub(crate) outbox_bytes: usize,
    pub(crate) detached: bool,
}

/// Which connection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ConnectionQuery {
    pub(crate) project: String,
    pub(crate) socket: SocketId,
}

/// A connection in detail.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ConnectionDetail {
    pub(crate) summary: ConnectionSummary,
    /// The first names, in the order in which it joined.
    pub(crate) rooms: Vec<String>,
    pub(crate) tags: Vec<String>,
    /// Without the query, which may contain a token.
    pub(crate) path: String,
    pub(crate) origin: Option<String>,
    pub(crate) secure: bool,
}

/// Lists connections of this node. `None` if a name is invalid.
pub(crate) fn list(app: &App, query: &ConnectionsQuery) -> Option<MatchingConnections> {
    let app = app.project(&ProjectId::new(&query.project).ok()?);
    let targets = [
        query.user.as_deref().map(Target::user),
        query.room.as_deref().map(Target::room),
        query.tag.as_deref().map(Target::tag),
    ];
    let targets: Vec<Target> = targets.into_iter().flatten().collect::<Result<_, _>>().ok()?;
    // The shortest list that contains all that can match.
    let index = app.hub().index();
    let mut ids = match targets.first() {
        Some(first) => index.members(app.project_id(), first),
        None => index.all_sessions().iter().map(|session| session.id).collect(),
    };
    ids.sort_unstable();
    let mut matching = MatchingConnections::default();
    for id in ids {
        let Some(socket) = app.socket(id).filter(|socket| is_match(&app, socket, query, &targets)) else {
            continue;
        };
        matching.total += 1;
        let is_of_page =
            query.after.is_none_or(|after| id > after) && matching.connections.len() < query.limit;
        if is_of_page {
            matching.connections.push(summary(&app, &socket));
        }
    }
    Some(matching)
}

fn is_match(app: &App, socket: &Socket, query: &ConnectionsQuery, targets: &[Target]) -> bool {
    query.protocol.as_deref().is_none_or(|name| socket.protocol().name() == name)
        && query.address.is_none_or(|address| socket.info().ip() == Some(address))
        && (targets.is_empty()
            || app
                .hub()
                .index()
                .session(socket.id())
                .is_some_and(|session| targets.iter().all(|target| session.is_member(target))))
}

fn summary(app: &App, socket: &Socket) -> ConnectionSummary {
    let session = app.hub().index().session(socket.id());
    ConnectionSummary {
        socket: socket.id(),
        protocol: socket.protocol().name().to_owned(),
        address: socket.info().ip(),
        user: socket.user().map(|user| user.to_string()),
        rooms: socket.rooms().len(),
        tags: socket.tags().len(),
        outbox_bytes: session.map_or(0, |session: Arc<_>| session.outbox.queued_bytes()),
        detached: socket.is_detached(),
    }
}

/// One connection of this node in detail. `None` if it is not here.
pub(crate) fn find(app: &App, query: &ConnectionQuery) -> Option<ConnectionDetail> {
    let app = app.project(&ProjectId::new(&query.project).ok()?);
    let socket = app.socket(query.socket)?;
    let info = socket.info();
    Some(ConnectionDetail {
        summary: summary(&app, &socket),
        rooms: socket.rooms().iter().take(NAMES_MAX).map(ToString::to_string).collect(),
        tags: socket.tags().iter().take(NAMES_MAX).map(ToString::to_string).collect(),
        path: info.path().to_owned(),
        origin: info.origin().map(str::to_owned),
        secure: info.secure(),
    })
}
