//! `GET /api/v1/shards`: the shards with a taken seat.

use serde::Serialize;
use switchboard::ShardName;
use switchboard::backplane::Shard;
use utoipa::ToSchema;

use super::endpoint::Context;
use super::key::now_ms;
use super::page::{list_query, next, page};
use super::problem::{Problem, query};

list_query! {
    /// Which shards.
    struct Shards {}
}

/// A page of shards in ascending order.
#[derive(Serialize, ToSchema)]
pub(super) struct ShardPage {
    /// The shards.
    shards: Vec<ShardEntry>,
    /// The parameter `after` of the next page. Left out on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<String>,
    /// When the store answered, in ms since 1970.
    as_of_ms: u64,
}

/// A shard.
#[derive(Serialize, ToSchema)]
pub(super) struct ShardEntry {
    /// The name.
    #[schema(value_type = String, example = "shard-1")]
    shard: ShardName,
    /// Number of taken seats.
    seated: usize,
}

impl From<Shard> for ShardEntry {
    fn from(Shard { name, seated }: Shard) -> Self {
        ShardEntry { shard: name, seated }
    }
}

/// Lists the shards with a taken seat, on all nodes.
#[utoipa::path(
    get,
    path = "/api/v1/shards",
    params(Shards),
    responses((status = 200, description = "The shards", body = ShardPage))
)]
pub(super) async fn endpoint(context: Context, shards: Shards) -> Result<ShardPage, Problem> {
    let Shards { after, limit, project } = shards;
    let app = context.project(project.as_deref())?;
    let page = page::<ShardName>(after, limit)?;
    let mut shards = app.shards().await.map_err(query)?;
    shards.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    shards.retain(|shard| page.after.as_ref().is_none_or(|after| shard.name > *after));
    shards.truncate(page.limit);
    let next = next(&shards, limit, |shard| shard.name.clone());
    Ok(ShardPage { shards: shards.into_iter().map(ShardEntry::from).collect(), next, as_of_ms: now_ms() })
}
