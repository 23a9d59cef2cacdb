//! `GET /api/v1/shards/{shard}`: the clients of a shard.

use serde::{Deserialize, Serialize};
use switchboard::{Payload, ShardName, SocketId};
use utoipa::{IntoParams, ToSchema};

use super::endpoint::Context;
use super::key::now_ms;
use super::problem::{Problem, query};
use super::targets::parse_name;

/// Which shard.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ShardQuery {
    /// The shard.
    #[param(example = "shard-1")]
    shard: String,
    /// The project. Default: the server's own.
    project: Option<String>,
}

/// A shard and its clients.
#[derive(Serialize, ToSchema)]
pub(super) struct ShardState {
    /// The name.
    #[schema(value_type = String)]
    shard: ShardName,
    /// The clients, in the order in which they connected. Their number is at most the capacity of the shard.
    clients: Vec<ShardClientEntry>,
    /// When the store answered, in ms since 1970.
    as_of_ms: u64,
}

/// A client of a shard.
#[derive(Serialize, ToSchema)]
pub(super) struct ShardClientEntry {
    /// Its socket, which is its client id.
    #[schema(value_type = String, format = "uuid")]
    socket: SocketId,
    /// The user info that the client has set.
    #[schema(value_type = Value)]
    user_info: Payload,
    /// When bytes last arrived from the client, in ms since 1970; on another node when it connected or last changed its
    /// user info.
    last_ping_ms: u64,
}

/// Lists the clients of a shard on all nodes. A shard without clients does not exist and has an empty list.
#[utoipa::path(
    get,
    path = "/api/v1/shards/{shard}",
    params(ShardQuery),
    responses((status = 200, description = "The shard", body = ShardState))
)]
pub(super) async fn endpoint(context: Context, shard: ShardQuery) -> Result<ShardState, Problem> {
    let app = context.project(shard.project.as_deref())?;
    let shard: ShardName = parse_name("shard", &shard.shard)?;
    let clients = app.shard_clients(&shard).await.map_err(query)?;
    let clients = clients.into_iter().map(|client| ShardClientEntry {
        socket: client.client_id,
        user_info: client.user_info,
        last_ping_ms: client.last_ping,
    });
    Ok(ShardState { shard, clients: clients.collect(), as_of_ms: now_ms() })
}
