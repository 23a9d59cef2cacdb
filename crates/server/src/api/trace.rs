//! `GET /api/v1/traces/{trace}`: what became of a message.

use serde::{Deserialize, Serialize};
use switchboard::trace::{NodeTrace, Trace, TraceId};
use utoipa::{IntoParams, ToSchema};

use super::endpoint::Context;
use super::key::now_ms;
use super::problem::{Problem, query};

/// Which message.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TraceQuery {
    /// The id, from the member `trace` of the answer to a send.
    #[param(value_type = String, example = "4bf92f3577b34da6a3ce929d0e0e4736")]
    trace: TraceId,
    /// The project. Default: the server's own.
    project: Option<String>,
}

/// What became of a message.
#[derive(Serialize, ToSchema)]
pub(super) struct TraceReport {
    /// The id.
    #[schema(value_type = String)]
    trace: TraceId,
    /// False if no node knows the message: it was not traced, is forgotten, or belongs to another project.
    recorded: bool,
    /// What became of the message, in sentences for people. "Received" means that the node's kernel has accepted the frame.
    sentences: Vec<String>,
    /// The nodes that have recorded steps, the sending one first. A step has `at_us`, in microseconds since 1970 by the clock of
    /// its node, and `step`, its kind: `sent`, `received`, `refused`, `history`, `numbered`, `excluded`, `receiver`,
    /// `resolved`, `written`, `unsent`, `published`, `not_published`, `stored`, `not_stored`, `from_inbox`, `acknowledged`.
    #[schema(value_type = Vec<Value>)]
    nodes: Vec<NodeTrace>,
    /// Nodes that answered and know nothing of the message.
    without_record: Vec<String>,
    /// Nodes that did not answer within 2 s.
    unanswered: Vec<String>,
    /// When the nodes answered, in ms since 1970.
    as_of_ms: u64,
}

/// Returns what each node has recorded of a message that was sent with `trace`.
#[utoipa::path(
    get,
    path = "/api/v1/traces/{trace}",
    params(TraceQuery),
    responses((status = 200, description = "The steps of the message", body = TraceReport))
)]
pub(super) async fn endpoint(context: Context, asked: TraceQuery) -> Result<TraceReport, Problem> {
    let app = context.project(asked.project.as_deref())?;
    let trace = app.trace(asked.trace).await.map_err(query)?;
    let sentences = trace.explain();
    let Trace { id, nodes, without_record, unanswered, .. } = trace;
    let names = |nodes: Vec<switchboard::backplane::NodeId>| nodes.iter().map(ToString::to_string).collect();
    Ok(TraceReport {
        trace: id,
        recorded: !nodes.is_empty(),
        sentences,
        nodes,
        without_record: names(without_record),
        unanswered: names(unanswered),
        as_of_ms: now_ms(),
    })
}
