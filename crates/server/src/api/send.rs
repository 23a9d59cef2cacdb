//! `POST /api/v1/send`: sends an event to an audience, live or through inboxes.

use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use switchboard::trace::TraceId;
use switchboard::{App, EmitError, Emitter, LatestKey, Name, OverflowPolicy, Payload, Target};
use switchboard_log::{limited, printable_error};
use utoipa::ToSchema;

use super::endpoint::Context;
use super::problem::Problem;
use super::targets::Targets;

/// A message and its recipients.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Message {
    /// The event's name.
    #[schema(example = "news", min_length = 1, max_length = 256)]
    event: String,
    /// Any JSON, nested at most 63 levels. Default: an empty object.
    #[serde(default)]
    #[schema(value_type = Option<Value>, example = json!({ "text": "hello" }))]
    data: Option<Box<RawValue>>,
    /// The recipients. A socket that matches twice receives one copy.
    to: Targets,
    /// Recipients to leave out.
    #[serde(default)]
    except: Targets,
    /// What happens at a full send queue of a recipient.
    #[serde(default)]
    policy: Policy,
    /// With the policy `latest`: the message replaces a queued one with the same key. Default: one with the same event name.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 256)]
    key: Option<String>,
    /// Stores the message in the inbox of each user until it is acknowledged. All recipients must be users.
    #[serde(default)]
    inbox: bool,
    /// Counts the sockets of the recipients on all nodes, for at most 100 recipients.
    #[serde(default)]
    count: bool,
    /// Records what becomes of the message at each node; `GET /api/v1/traces/{trace}` returns it.
    #[serde(default)]
    trace: bool,
    /// The project. Default: the server's own.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 256)]
    project: Option<String>,
}

/// What happens at a full send queue of a recipient.
#[derive(Clone, Copy, Default, PartialEq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Policy {
    /// The recipient is disconnected with 1013.
    #[default]
    Live,
    /// The recipient misses the message.
    Volatile,
    /// The message replaces a queued one with the same `key` and room, even if the queue is not full. At a full queue it makes
    /// room as `oldest` does.
    Latest,
    /// The oldest queued messages with the policies `latest` and `oldest` are dropped. If there are too few, the recipient
    /// misses the message.
    Oldest,
}

impl Policy {
    pub(super) fn with_key(self, key: Option<String>) -> Result<OverflowPolicy, Problem> {
        Ok(match (self, key) {
            (Policy::Latest, Some(key)) => {
                let key = Name::new(&key).map_err(|error| Problem::invalid_field("key", error))?;
                OverflowPolicy::Latest(LatestKey::Text(key))
            }
            (_, Some(_)) => {
                return Err(Problem::invalid_field(
                    "key",
                    "only a message with the policy `latest` has a key",
                ));
            }
            (Policy::Live, None) => OverflowPolicy::Live,
            (Policy::Volatile, None) => OverflowPolicy::Volatile,
            (Policy::Latest, None) => OverflowPolicy::Latest(LatestKey::Event),
            (Policy::Oldest, None) => OverflowPolicy::Oldest,
        })
    }
}

/// Most recipients whose sockets are counted.
const COUNTED_MAX: usize = 100;

/// The result of a send.
#[derive(Default, Serialize, ToSchema)]
pub(super) struct Sent {
    /// Without `inbox`: number of sockets of this node that receive the message. Those of other nodes are not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    sockets_here: Option<usize>,
    /// Without `inbox`: how many of them are behind, which means that more than half of their send queue is full. Send less
    /// while the number grows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    behind_here: Option<usize>,
    /// With `count`: number of sockets that the recipients have on all nodes. A socket that matches twice counts twice, and so
    /// does one that is left out by `except`. Left out if Redis does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    sockets: Option<usize>,
    /// With `inbox`: number of inboxes that store the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    inboxes: Option<usize>,
    /// With `inbox`: number of older messages that were evicted to store it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    evicted: Option<usize>,
    /// True if other nodes did not receive the message because Redis is down; otherwise left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    degraded: Option<bool>,
    /// With `trace`: the id of the trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, nullable = false)]
    trace: Option<TraceId>,
}

/// Sends an event to users, rooms, tags, shards, sockets or everyone.
#[utoipa::path(
    post,
    path = "/api/v1/send",
    request_body(content = Message, example = json!({ "event": "news", "data": { "text": "hello" }, "to": { "rooms": ["lobby"], "users": ["7"] }, "except": { "tags": ["muted"] } })),
    responses((status = 200, description = "The message is sent, or stored and sent", body = Sent))
)]
pub(super) async fn endpoint(context: Context, message: Message) -> Result<Sent, Problem> {
    let Message { event, data, to, except, policy, key, inbox, count, trace, project } = message;
    let policy = policy.with_key(key)?;
    let app = context.project(project.as_deref())?;
    let audience = to.except(except)?;
    let data = payload(data)?;
    if count && audience.to.len() > COUNTED_MAX {
        let reason = format_args!("sockets of at most {COUNTED_MAX} recipients are counted");
        return Err(Problem::invalid_field("count", reason));
    }
    let counted = if count { audience.to.clone() } else { Vec::new() };
    let emitter = app.to(audience);
    let emitter = if trace { emitter.trace() } else { emitter };
    let trace = emitter.trace_id();
    let sent = match (inbox, policy) {
        (true, OverflowPolicy::Live) => store(emitter, &event, data).await,
        (true, _) => Err(Problem::invalid_field(
            "policy",
            "a message for inboxes is stored before it is sent, so it is `live`",
        )),
        (false, policy) => {
            let sent = emitter.with_policy(policy).send_payload(&event, data);
            let sent = sent.map_err(|error| Problem::invalid_field("event", error))?;
            let degraded = sent.is_degraded.then_some(true);
            let (sockets_here, behind_here) = (Some(sent.queued), Some(sent.behind));
            Ok(Sent { sockets_here, behind_here, degraded, ..Sent::default() })
        }
    }?;
    let sockets = if count { sockets_of(&app, &counted).await } else { None };
    Ok(Sent { sockets, trace, ..sent })
}

/// Number of sockets that targets have on all nodes; `None` if the store does not answer.
async fn sockets_of(app: &App, targets: &[Target]) -> Option<usize> {
    let store = app.hub().store();
    let counts = targets.iter().map(|target| store.count(app.project_id(), target));
    try_join_all(counts).await.ok().map(|counts| counts.into_iter().sum())
}

async fn store(emitter: Emitter, event: &str, data: Payload) -> Result<Sent, Problem> {
    let stored = emitter.dispatch_payload(event, data).await.map_err(|error| not_stored("inbox", error))?;
    Ok(Sent { inboxes: Some(stored.inboxes), evicted: Some(stored.evicted), ..Sent::default() })
}

/// The data of a message. Default: an empty object.
pub(super) fn payload(data: Option<Box<RawValue>>) -> Result<Payload, Problem> {
    let data = data.map_or(Ok(Payload::EMPTY), |data| Payload::parse(data.get()));
    data.map_err(|error| Problem::invalid_field("data", error))
}

/// Why a message was not stored. `field` asks for storing.
pub(super) fn not_stored(field: &str, error: EmitError) -> Problem {
    match error {
        EmitError::Backplane(error) => {
            // The inbox logs when it begins to fail.
            limited!(
                DEBUG,
                error = printable_error(&error),
                "storing a message failed; its sender gets 503 and may retry"
            );
            Problem::not_stored()
        }
        EmitError::NoInbox => {
            let hint = "the inbox of this server is off; inbox.enabled=true switches it on";
            Problem::invalid_field(field, hint)
        }
        EmitError::Name(error) => Problem::invalid_field("event", error),
        error => Problem::invalid_field(field, error),
    }
}
