//! `POST /api/v1/dispatch`: sends an event to an audience, live or waiting.

use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use switchboard::{App, EmitError, Payload};
use switchboard_wire::mesa::event_name;
use utoipa::ToSchema;

use super::problem::Problem;
use super::request::Incoming;
use super::targets::{Targets, in_project, name};

/// A message, and for whom it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Dispatch {
    /// The event's name: Mesa's type. May be left out where `op` is given: then Mesa clients get a message without
    /// one.
    #[serde(rename = "type", default)]
    #[schema(value_type = String, example = "STATUS_UPDATE", min_length = 1, max_length = 256)]
    kind: Option<String>,
    /// Mesa's operation; 0 if it is left out. To clients of other protocols the event of another one, or of one
    /// without a type, is called `@op/7/TYPE` or `@op/7`.
    #[serde(default)]
    #[schema(value_type = i64, default = 0, nullable = false)]
    op: Option<i64>,
    /// Any JSON; an empty object if it is left out.
    #[serde(default)]
    #[schema(value_type = Option<Object>, example = json!({ "status": "online" }))]
    data: Option<Box<RawValue>>,
    /// Who hears it.
    to: Targets,
    /// Who of those does not.
    #[serde(default)]
    except: Targets,
    /// Whether it waits for each user until it has arrived. All that are named must be users.
    #[serde(default)]
    sync: bool,
    /// The project, which is Mesa's namespace; the server's own if it is left out.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 256)]
    project: Option<String>,
}

/// What became of a message.
#[derive(Default, Serialize, ToSchema)]
pub(super) struct Dispatched {
    /// Without `sync`: how many sockets of this node hear it. Those of others are not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    sockets_here: Option<usize>,
    /// Without `sync`: true if other nodes could not be told, since Redis is away; otherwise left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    degraded: Option<bool>,
    /// With `sync`: in how many inboxes it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    inboxes: Option<usize>,
    /// With `sync`: how many older messages gave way to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    displaced: Option<usize>,
}

/// Sends an event to users, rooms, tags, sockets or everyone.
#[utoipa::path(
    post,
    path = "/api/v1/dispatch",
    security(("key" = [])),
    params(Incoming),
    request_body = Dispatch,
    responses((status = 200, description = "It is sent, or kept and sent", body = Dispatched), Problem)
)]
pub(super) async fn dispatch(incoming: Incoming) -> Result<Response, Problem> {
    incoming.answer("dispatch", send).await
}

async fn send(app: App, dispatch: Dispatch) -> Result<Dispatched, Problem> {
    let Dispatch { kind, op, data, to, except, sync, project } = dispatch;
    let app = in_project(app, project.as_deref())?;
    let data = data.map_or(Ok(Payload::EMPTY), |data| Payload::parse(data.get()));
    let data = data.map_err(|error| Problem::invalid(format!("data: {error}")))?;
    if kind.is_none() && op.is_none() {
        return Err(Problem::invalid("type: it is missing, and `op` as well"));
    }
    let kind = kind.map(|kind| name("type", &kind)).transpose()?;
    let kind = event_name(op.unwrap_or(0), kind.as_ref());
    let kind = kind.map_err(|error| Problem::invalid(format!("type: with its `op`: {error}")))?;
    let send = app.to(to.except(except)?);
    if !sync {
        let here = send.emit_payload(&kind, data).map_err(|error| Problem::invalid(error.to_string()))?;
        let degraded = (!app.hub().bus().is_up()).then_some(true);
        return Ok(Dispatched { sockets_here: Some(here), degraded, ..Dispatched::default() });
    }
    match send.dispatch_payload(&kind, data).await {
        Ok(kept) => Ok(Dispatched {
            inboxes: Some(kept.inboxes),
            displaced: Some(kept.evicted),
            ..Dispatched::default()
        }),
        Err(EmitError::Store(error)) => {
            tracing::warn!(%error, "a message is not known to be kept");
            Err(Problem::not_kept())
        }
        Err(EmitError::NoInbox) => {
            let hint = "no message waits on this server; inbox.enabled=true has them wait";
            Err(Problem::invalid(format!("sync: {hint}")))
        }
        Err(error) => Err(Problem::invalid(format!("sync: {error}"))),
    }
}
