//! `GET /api/v1/keys`: the keys in the settings of this node, and when they were last used.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::endpoint::Context;
use super::key::Key;
use super::problem::Problem;

/// Nothing to choose.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Keys {}

/// The keys in the settings of this node.
#[derive(Serialize, ToSchema)]
pub(super) struct KeyList {
    /// The keys, in the order of the settings.
    keys: Vec<KeyEntry>,
}

/// A key.
#[derive(Serialize, ToSchema)]
pub(super) struct KeyEntry {
    /// The name in `api.named_keys`, or the place in `api.keys`.
    #[schema(example = "shop")]
    name: String,
    /// What the key may do: `read`, `send`, `manage`.
    scopes: Vec<&'static str>,
    /// The projects that the key is valid for. Left out if it is valid for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    projects: Option<Vec<String>>,
    /// When the key becomes invalid, in ms since 1970. Left out if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    expires_at_ms: Option<u64>,
    /// When a request to this node last used the key, in ms since 1970. Left out if none did since the node started.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    last_used_at_ms: Option<u64>,
}

/// Lists the keys of this node. Needs a key that is valid for all projects.
#[utoipa::path(
    get,
    path = "/api/v1/keys",
    responses((status = 200, description = "The keys, without their secrets", body = KeyList))
)]
pub(super) async fn endpoint(context: Context, _: Keys) -> Result<KeyList, Problem> {
    let keys = context.server()?.keys.list();
    Ok(KeyList { keys: keys.iter().map(|key| entry(key)).collect() })
}

fn entry(key: &Key) -> KeyEntry {
    let projects = key.projects.as_ref().map(|projects| projects.iter().map(ToString::to_string).collect());
    KeyEntry {
        name: key.name.clone(),
        scopes: key.scopes.iter().map(|scope| scope.as_str()).collect(),
        projects,
        expires_at_ms: key.expires_at_ms,
        last_used_at_ms: Some(key.last_used_ms()).filter(|used| *used > 0),
    }
}
