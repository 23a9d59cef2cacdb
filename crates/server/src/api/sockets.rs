//! `GET /api/v1/sockets`: the sockets of a project, a user, a room, a tag or a shard.

use std::net::IpAddr;

use serde::Serialize;
use switchboard::backplane::NodeId;
use switchboard::{App, DescribedSockets, Protocol, ShardName, SocketDetails, SocketId, Target};
use utoipa::ToSchema;

use super::endpoint::Context;
use super::key::now_ms;
use super::page::{After, Limit, list_query, next, page};
use super::problem::{Problem, query};
use super::targets::parse_name;

list_query! {
    /// Which sockets: all of the project, or those of one user, room, tag or shard; of these, those of an address or protocol.
    struct Sockets {
        /// Only sockets of this user.
        user: Option<String>,
        /// Only sockets in this room, with or without `#`.
        room: Option<String>,
        /// Only sockets with this tag, with or without `*`.
        tag: Option<String>,
        /// Only sockets with a seat on this shard.
        shard: Option<String>,
        /// Only sockets of clients with this address. `limit` is the number of sockets that are examined: a page may have
        /// fewer, and even none before the last one.
        #[param(value_type = Option<String>, example = "198.51.100.7")]
        address: Option<IpAddr>,
        /// Only sockets of this protocol: `emit`, `koji` or `mesa`. As for `address`, a page may have fewer than `limit`.
        protocol: Option<String>,
        /// Whether each socket has its protocol, address and user, which its node is asked for.
        #[serde(default)]
        #[param(required = false, default = false)]
        details: bool,
    }
}

/// A page of sockets in ascending order.
#[derive(Serialize, ToSchema)]
pub(super) struct SocketPage {
    /// The sockets.
    sockets: Vec<SocketEntry>,
    /// The parameter `after` of the next page. Left out on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<String>,
    /// Nodes that did not answer a request for details, so their sockets are not in the list. Left out if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unanswered: Vec<String>,
    /// When the store answered, in ms since 1970.
    as_of_ms: u64,
}

impl SocketPage {
    pub(super) fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }
}

/// A socket.
#[derive(Serialize, ToSchema)]
pub(super) struct SocketEntry {
    /// The id.
    #[schema(value_type = String, format = "uuid")]
    pub(super) socket: SocketId,
    /// The node that it is connected to.
    #[schema(example = "0badcafe")]
    pub(super) node: String,
    /// `emit`, `koji` or `mesa`. Left out, as `address` and `user`, unless details are requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "emit")]
    protocol: Option<String>,
    /// The client's address, as trusted proxies report it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "198.51.100.7")]
    address: Option<String>,
    /// The user that the socket is logged in as. Left out if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    user: Option<String>,
}

impl From<SocketDetails> for SocketEntry {
    fn from(SocketDetails { socket, protocol, address, user, .. }: SocketDetails) -> Self {
        let address = address.map(|address| address.to_string());
        SocketEntry { protocol: Some(protocol), address, user, ..SocketEntry::from(socket) }
    }
}

impl From<SocketId> for SocketEntry {
    fn from(socket: SocketId) -> Self {
        let node: NodeId = socket.node();
        SocketEntry { socket, node: node.to_string(), protocol: None, address: None, user: None }
    }
}

/// Lists sockets on all nodes. At most one of `user`, `room`, `tag` and `shard` can be given.
#[utoipa::path(
    get,
    path = "/api/v1/sockets",
    params(Sockets),
    responses((status = 200, description = "The sockets", body = SocketPage))
)]
pub(super) async fn endpoint(context: Context, sockets: Sockets) -> Result<SocketPage, Problem> {
    let Sockets { user, room, tag, shard, address, protocol, details, after, limit, project } = sockets;
    let app = context.project(project.as_deref())?;
    let given = [("user", user), ("room", room), ("tag", tag), ("shard", shard)];
    let mut targets = given.into_iter().filter_map(|(kind, name)| name.map(|name| (kind, name)));
    let target = targets.next().map_or(Ok(Target::Everyone), |(kind, name)| target(kind, &name))?;
    if let Some((second, _)) = targets.next() {
        return Err(Problem::invalid_field(second, "only one of user, room, tag and shard can be given"));
    }
    let is_known = |name: &String| Protocol::ALL.iter().any(|protocol| protocol.name() == name);
    if protocol.as_ref().is_some_and(|name| !is_known(name)) {
        return Err(Problem::invalid_field("protocol", "expected emit, koji or mesa"));
    }
    if !details && address.is_none() && protocol.is_none() {
        return list(&app, &target, after, limit).await;
    }
    list_with_details(&app, &target, after, limit, |socket| {
        address.is_none_or(|address| socket.address == Some(address))
            && protocol.as_ref().is_none_or(|protocol| socket.protocol == *protocol)
    })
    .await
}

fn target(kind: &str, name: &str) -> Result<Target, Problem> {
    Ok(match kind {
        "user" => Target::User(parse_name(kind, name)?),
        "room" => Target::Room(parse_name(kind, name)?),
        "tag" => Target::Tag(parse_name(kind, name)?),
        _ => Target::shard(&parse_name::<ShardName>(kind, name)?),
    })
}

/// A page of the sockets of a target.
pub(super) async fn list(
    app: &App,
    target: &Target,
    after: After,
    limit: Limit,
) -> Result<SocketPage, Problem> {
    let ids = app.members_page(target, page(after, limit)?).await.map_err(query)?;
    let next = next(&ids, limit, |id| *id);
    Ok(SocketPage {
        sockets: ids.into_iter().map(SocketEntry::from).collect(),
        next,
        unanswered: Vec::new(),
        as_of_ms: now_ms(),
    })
}

/// A page of the sockets of a target with their details, without those that `is_listed` refuses. Sockets that have closed
/// meanwhile are left out.
pub(super) async fn list_with_details(
    app: &App,
    target: &Target,
    after: After,
    limit: Limit,
    is_listed: impl Fn(&SocketDetails) -> bool,
) -> Result<SocketPage, Problem> {
    let ids = app.members_page(target, page(after, limit)?).await.map_err(query)?;
    let next = next(&ids, limit, |id| *id);
    let DescribedSockets { mut found, unanswered, .. } = app.socket_details(&ids).await;
    found.retain(is_listed);
    found.sort_unstable_by_key(|details| details.socket);
    let sockets = found.into_iter().map(SocketEntry::from);
    let unanswered = unanswered.iter().map(ToString::to_string).collect();
    Ok(SocketPage { sockets: sockets.collect(), next, unanswered, as_of_ms: now_ms() })
}
