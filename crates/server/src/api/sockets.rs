//! `GET /api/v1/sockets`: the sockets of a project, a user, a room, a tag or a shard.

use serde::Serialize;
use switchboard::backplane::NodeId;
use switchboard::{App, ShardName, SocketId, Target};
use utoipa::ToSchema;

use super::endpoint::Context;
use super::key::now_ms;
use super::page::{After, Limit, list_query, next, page};
use super::problem::{Problem, query};
use super::targets::parse_name;

list_query! {
    /// Which sockets: all of the project, or those of one user, room, tag or shard.
    struct Sockets {
        /// Only sockets of this user.
        user: Option<String>,
        /// Only sockets in this room, with or without `#`.
        room: Option<String>,
        /// Only sockets with this tag, with or without `*`.
        tag: Option<String>,
        /// Only sockets with a seat on this shard.
        shard: Option<String>,
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
}

impl From<SocketId> for SocketEntry {
    fn from(socket: SocketId) -> Self {
        let node: NodeId = socket.node();
        SocketEntry { socket, node: node.to_string() }
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
    let Sockets { user, room, tag, shard, after, limit, project } = sockets;
    let app = context.project(project.as_deref())?;
    let given = [("user", user), ("room", room), ("tag", tag), ("shard", shard)];
    let mut targets = given.into_iter().filter_map(|(kind, name)| name.map(|name| (kind, name)));
    let target = targets.next().map_or(Ok(Target::Everyone), |(kind, name)| target(kind, &name))?;
    if let Some((second, _)) = targets.next() {
        return Err(Problem::invalid_field(second, "only one of user, room, tag and shard can be given"));
    }
    list(&app, &target, after, limit).await
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
    Ok(SocketPage { sockets: ids.into_iter().map(SocketEntry::from).collect(), next, as_of_ms: now_ms() })
}
