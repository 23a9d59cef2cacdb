//! `POST /api/v1/tokens/revoke`: revokes tokens on all nodes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use switchboard::access::{Revoke, RevokeError, Revoked};
use utoipa::ToSchema;

use super::endpoint::Context;
use super::problem::Problem;
use super::targets::parse_name;

/// The tokens to revoke.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RevokeRequest {
    /// The ids (`jti`) of tokens.
    #[serde(default)]
    #[schema(example = json!(["1f3a"]))]
    tokens: Vec<String>,
    /// Users, whose tokens are revoked if they were issued (`iat`) before `issued_before`, or have no time of issue.
    #[serde(default)]
    #[schema(example = json!(["7"]))]
    users: Vec<String>,
    /// Time in seconds since 1970, as in `iat`; tokens of `users` from this time on stay valid. Default: now.
    #[serde(default)]
    #[schema(nullable = false, minimum = 0)]
    issued_before: Option<f64>,
    /// Time in seconds since 1970, as in `exp`, at which the last of the tokens has expired: the revocation is then
    /// forgotten. Default: `limits.revocation_lifetime_ms` from now on.
    #[serde(default)]
    #[schema(nullable = false, minimum = 0)]
    expires: Option<f64>,
    /// The project, called namespace in Mesa. Default: the server's own.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 256)]
    project: Option<String>,
}

/// The result of a revocation.
#[derive(Serialize, ToSchema)]
pub(super) struct RevokeResult {
    /// Number of sockets of this node that were logged out. Those of other nodes are not counted.
    sockets_here: usize,
    /// Where the revocation is stored: `redis`; `file`, that of the inbox; or `memory`, which a restart loses.
    #[schema(value_type = String, example = "redis")]
    stored_in: &'static str,
    /// True if the revocation is not stored yet, or other nodes do not know it yet, because Redis or the file is down.
    /// The node tries again every second. Otherwise left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    degraded: Option<bool>,
}

/// Revokes tokens: they are refused from now on, and sockets that they have logged in are logged out.
#[utoipa::path(
    post,
    path = "/api/v1/tokens/revoke",
    request_body(content = RevokeRequest, example = json!({ "users": ["7"] })),
    responses((status = 200, description = "The tokens are revoked", body = RevokeResult))
)]
pub(super) async fn endpoint(context: Context, request: RevokeRequest) -> Result<RevokeResult, Problem> {
    let RevokeRequest { tokens, users, issued_before, expires, project } = request;
    let app = context.project(project.as_deref())?;
    let tokens = tokens.iter().enumerate().map(|(at, id)| parse_name(&format!("tokens[{at}]"), id));
    let users = users.iter().enumerate().map(|(at, id)| parse_name(&format!("users[{at}]"), id));
    let revoke = Revoke {
        tokens: tokens.collect::<Result<_, _>>()?,
        users: users.collect::<Result<_, _>>()?,
        issued_before: time("issued_before", issued_before)?,
        until: time("expires", expires)?,
    };
    match app.revoke(revoke).await {
        Ok(Revoked { sockets_here, stored_in, is_complete }) => Ok(RevokeResult {
            sockets_here,
            stored_in: stored_in.unwrap_or("memory"),
            degraded: (!is_complete).then_some(true),
        }),
        Err(error @ RevokeError::TooMany { .. }) => Err(Problem::full(error.to_string())),
        Err(RevokeError::Expired) => Err(Problem::invalid_field("expires", "expected a time in the future")),
        Err(error) => Err(Problem::invalid(format!("tokens, users: {error}"))),
    }
}

fn time(field: &str, seconds: Option<f64>) -> Result<Option<SystemTime>, Problem> {
    let Some(seconds) = seconds else { return Ok(None) };
    let time = Duration::try_from_secs_f64(seconds).ok().and_then(|since| UNIX_EPOCH.checked_add(since));
    let invalid = || Problem::invalid_field(field, "expected seconds since 1970");
    time.map(Some).ok_or_else(invalid)
}
