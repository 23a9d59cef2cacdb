//! `POST /api/v1/dispatch`: sends an event to an audience, live or through inboxes.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use switchboard::OverflowPolicy;
use switchboard::trace::TraceId;
use switchboard_wire::mesa::event_name;
use utoipa::ToSchema;

use super::endpoint::Context;
use super::problem::Problem;
use super::send::{Policy, not_stored, payload};
use super::targets::{Targets, parse_name};

/// A message and its recipients.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Dispatch {
    /// The event's name, called type in Mesa. Optional if `op` is set: Mesa clients then receive a message without
    /// a type.
    #[serde(rename = "type", default)]
    #[schema(value_type = String, example = "STATUS_UPDATE", min_length = 1, max_length = 256)]
    kind: Option<String>,
    /// Mesa's operation. Clients of other protocols receive an event of an operation other than 0, or without a
    /// type, as `@op/7/TYPE` or `@op/7`.
    #[serde(default)]
    #[schema(value_type = i64, default = 0, nullable = false)]
    op: Option<i64>,
    /// Any JSON, nested at most 63 levels. Default: an empty object.
    #[serde(default)]
    #[schema(value_type = Option<Value>, example = json!({ "status": "online" }))]
    data: Option<Box<RawValue>>,
    /// The recipients.
    to: Targets,
    /// Recipients to leave out.
    #[serde(default)]
    except: Targets,
    /// Stores the message in the inbox of each user until it is acknowledged. All recipients must be users.
    #[serde(default)]
    sync: bool,
    /// What happens at a full send queue of a recipient. A message with `sync` is `live`.
    #[serde(default)]
    policy: Policy,
    /// With the policy `latest`: the message replaces a queued one with the same key. Default: one with the same event name.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 256)]
    key: Option<String>,
    /// Records what becomes of the message at each node; `GET /api/v1/traces/{trace}` returns it.
    #[serde(default)]
    trace: bool,
    /// The project, called namespace in Mesa. Default: the server's own.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 256)]
    project: Option<String>,
}

/// The result of a dispatch.
#[derive(Default, Serialize, ToSchema)]
pub(super) struct Dispatched {
    /// Without `sync`: number of receiving sockets of this node. Those of other nodes are not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    sockets_here: Option<usize>,
    /// Without `sync`: true if other nodes did not get the message because Redis is down; otherwise left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    degraded: Option<bool>,
    /// With `sync`: number of inboxes that store the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    inboxes: Option<usize>,
    /// With `sync`: number of older messages that were evicted to store it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    evicted: Option<usize>,
    /// With `trace`: the id of the trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, nullable = false)]
    trace: Option<TraceId>,
}

/// Sends an event to users, rooms, tags, sockets or everyone.
#[utoipa::path(
    post,
    path = "/api/v1/dispatch",
    request_body(content = Dispatch, example = json!({ "type": "STATUS_UPDATE", "data": { "status": "online" }, "to": { "users": ["7"] }, "sync": true })),
    responses((status = 200, description = "The message is sent, or stored and sent", body = Dispatched))
)]
pub(super) async fn endpoint(context: Context, dispatch: Dispatch) -> Result<Dispatched, Problem> {
    let Dispatch { kind, op, data, to, except, sync, policy, key, trace, project } = dispatch;
    let policy = policy.with_key(key)?;
    let app = context.project(project.as_deref())?;
    let data = payload(data)?;
    if kind.is_none() && op.is_none() {
        return Err(Problem::invalid_field("type", "missing; it is optional only with `op`"));
    }
    let kind = kind.map(|kind| parse_name("type", &kind)).transpose()?;
    let kind = event_name(op.unwrap_or(0), kind.as_ref());
    let kind = kind.map_err(|error| Problem::invalid_field("type", format!("with its `op`: {error}")))?;
    if sync && policy != OverflowPolicy::Live {
        return Err(Problem::invalid_field(
            "policy",
            "a message with `sync` is stored before it is sent, so it is `live`",
        ));
    }
    let emitter = app.to(to.except(except)?).with_policy(policy);
    let emitter = if trace { emitter.trace() } else { emitter };
    let trace = emitter.trace_id();
    if !sync {
        let sent = emitter.send_payload(&kind, data).map_err(|error| Problem::invalid_field("to", error))?;
        let degraded = sent.is_degraded.then_some(true);
        return Ok(Dispatched { sockets_here: Some(sent.queued), degraded, trace, ..Dispatched::default() });
    }
    let stored = emitter.dispatch_payload(&kind, data).await.map_err(|error| not_stored("sync", error))?;
    let (inboxes, evicted) = (Some(stored.inboxes), Some(stored.evicted));
    Ok(Dispatched { inboxes, evicted, trace, ..Dispatched::default() })
}
