//! `GET /api/v1/traces`: the last traced messages.

use serde::{Deserialize, Serialize};
use switchboard::trace::{RecentTrace, RecentTraces, TraceId};
use utoipa::{IntoParams, ToSchema};

use super::endpoint::Context;
use super::key::now_ms;
use super::problem::{Problem, query};

/// Most messages of an answer.
const LIMIT_MAX: usize = 1000;

/// How many messages.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TracesQuery {
    /// The most messages, from 1 to 1,000.
    #[serde(default = "default_limit")]
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: usize,
    /// The project. Default: the server's own.
    project: Option<String>,
}

fn default_limit() -> usize {
    100
}

/// The last traced messages.
#[derive(Serialize, ToSchema)]
pub(super) struct TraceList {
    /// The messages, the newest first.
    traces: Vec<TraceEntry>,
    /// Nodes that did not answer within 2 s.
    unanswered: Vec<String>,
    /// When the nodes answered, in ms since 1970.
    as_of_ms: u64,
}

/// A traced message.
#[derive(Serialize, ToSchema)]
pub(super) struct TraceEntry {
    /// The id of the trace.
    #[schema(value_type = String)]
    trace: TraceId,
    /// The event's name.
    event: String,
    /// The bytes of its data.
    bytes: usize,
    /// The targets, at most 32.
    to: Vec<String>,
    /// The node that has sent it, or one that has received it.
    node: String,
    /// When, in microseconds since 1970 by the clock of that node.
    at_us: u64,
}

impl From<RecentTrace> for TraceEntry {
    fn from(recent: RecentTrace) -> Self {
        let RecentTrace { id, node, at_us, message, .. } = recent;
        TraceEntry { trace: id, event: message.event, bytes: message.bytes, to: message.to, node, at_us }
    }
}

/// Lists the last traced messages of all nodes.
#[utoipa::path(
    get,
    path = "/api/v1/traces",
    params(TracesQuery),
    responses((status = 200, description = "The messages", body = TraceList))
)]
pub(super) async fn endpoint(context: Context, asked: TracesQuery) -> Result<TraceList, Problem> {
    let app = context.project(asked.project.as_deref())?;
    if !(1..=LIMIT_MAX).contains(&asked.limit) {
        return Err(Problem::invalid_field("limit", format_args!("expected 1 to {LIMIT_MAX}")));
    }
    let RecentTraces { traces, unanswered, .. } = app.recent_traces(asked.limit).await.map_err(query)?;
    Ok(TraceList {
        traces: traces.into_iter().map(TraceEntry::from).collect(),
        unanswered: unanswered.iter().map(ToString::to_string).collect(),
        as_of_ms: now_ms(),
    })
}
