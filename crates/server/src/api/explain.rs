//! `GET /api/v1/explain`: whether a message would arrive, and why not.

use serde::{Deserialize, Serialize};
use switchboard::SocketId;
use switchboard::trace::{ExplainError, Explanation, NodeView, Planned};
use utoipa::{IntoParams, ToSchema};

use super::endpoint::Context;
use super::key::now_ms;
use super::problem::Problem;

/// Which message.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ExplainQuery {
    /// The recipients: `user:7`, `#lobby`, `tag:vip`, `shard:one`, `socket:ID` or `@everyone`.
    #[serde(default = "everyone")]
    #[param(default = "@everyone", example = "user:7")]
    to: String,
    /// The event's name, from 1 to 256 bytes.
    #[serde(default = "message")]
    #[param(default = "message", example = "order")]
    event: String,
    /// The socket of the client that would send it. Default: the server sends it, which needs no right.
    #[param(value_type = Option<String>)]
    sender: Option<SocketId>,
    /// Describe the sockets of this user only, and whether they are among the recipients.
    user: Option<String>,
    /// The project. Default: the server's own.
    project: Option<String>,
}

fn everyone() -> String {
    "@everyone".into()
}

fn message() -> String {
    "message".into()
}

/// Whether a message would arrive.
#[derive(Serialize, ToSchema)]
pub(super) struct DryRun {
    /// At least one socket would receive it now.
    would_arrive: bool,
    /// The same in sentences for people.
    sentences: Vec<String>,
    /// The nodes with their sockets of the audience, at most 100 each. The `kind` of a socket's `prospect` is `receives`,
    /// `behind`, `held_back`, `sender`, `detached`, `closing`, `reserved` or `not_member`.
    #[schema(value_type = Vec<Value>)]
    nodes: Vec<NodeView>,
    /// Nodes that did not answer within 2 s.
    unanswered: Vec<String>,
    /// When the nodes answered, in ms since 1970.
    as_of_ms: u64,
}

/// Explains whether a message would arrive, by rights, memberships, connections and nodes. Sends nothing.
#[utoipa::path(
    get,
    path = "/api/v1/explain",
    params(ExplainQuery),
    responses((status = 200, description = "What would happen", body = DryRun))
)]
pub(super) async fn endpoint(context: Context, asked: ExplainQuery) -> Result<DryRun, Problem> {
    let ExplainQuery { to, event, sender, user, project } = asked;
    let app = context.project(project.as_deref())?;
    let mut planned = Planned::new(&to, &event);
    (planned.sender, planned.user) = (sender, user);
    let explanation = app.explain(&planned).await.map_err(|error| match error {
        ExplainError::To(..) => Problem::invalid_field("to", error),
        ExplainError::Event(cause) => Problem::invalid_field("event", cause),
        ExplainError::User(cause) => Problem::invalid_field("user", cause),
        _ => Problem::unavailable(),
    })?;
    let Explanation { would_arrive, nodes, unanswered, sentences, .. } = explanation;
    Ok(DryRun {
        would_arrive,
        sentences,
        nodes,
        unanswered: unanswered.iter().map(ToString::to_string).collect(),
        as_of_ms: now_ms(),
    })
}
