//! `POST /api/v1/request`: sends a request to clients and returns their replies, together or as they arrive.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::{Stream, StreamExt};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use switchboard::{Payload, RequestAllError, RequestError, SocketId, SocketReply};
use utoipa::ToSchema;

use super::endpoint::{Context, IntoOutput, Output};
use super::problem::Problem;
use super::send::payload;
use super::targets::Targets;

/// Longest time-out, in milliseconds: shorter than the claim of a request with an `Idempotency-Key`.
const TIMEOUT_MS_MAX: u64 = 25_000;

/// A request and the clients that it is sent to.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    /// The event's name.
    #[schema(example = "/ready?", min_length = 1, max_length = 256)]
    event: String,
    /// Any JSON, nested at most 63 levels. Default: an empty object.
    #[serde(default)]
    #[schema(value_type = Option<Value>, example = json!({ "round": 3 }))]
    data: Option<Box<RawValue>>,
    /// The clients, at most 10,000 sockets.
    to: Targets,
    /// Clients to leave out.
    #[serde(default)]
    except: Targets,
    /// How long to wait for replies, 1 to 25,000 ms. Default: `limits.request_timeout_ms`.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 25000, nullable = false)]
    timeout_ms: Option<u64>,
    /// Returns each reply as a line of JSON (`application/x-ndjson`) when it arrives, instead of all together. Such a response is
    /// not remembered for an `Idempotency-Key`.
    #[serde(default)]
    stream: bool,
    /// The project. Default: the server's own.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 256)]
    project: Option<String>,
}

/// The replies.
#[derive(Serialize, ToSchema)]
pub(super) struct Replies {
    /// One for each socket, in the order in which they arrived. With `stream` they are lines of the body.
    replies: Vec<ReplyEntry>,
}

/// The reply of one socket.
#[derive(Serialize, ToSchema)]
pub(super) struct ReplyEntry {
    /// The socket.
    #[schema(value_type = String)]
    socket: SocketId,
    /// The reply, any JSON. Left out if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    reply: Option<Payload>,
    /// Why there is no reply: `timeout`, `closed` (the socket has closed, or there is no such socket), `cannot_reply` (its
    /// protocol has no replies), `too_many` (unanswered requests), or `unreachable` (its node).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<&'static str>,
}

/// Sends a request to each socket of an audience, on all nodes, and returns the replies.
#[utoipa::path(
    post,
    path = "/api/v1/request",
    request_body(content = Request, example = json!({ "event": "/ready?", "to": { "rooms": ["game"] }, "timeout_ms": 2000 })),
    responses((status = 200, description = "The replies", content((Replies = "application/json"), (ReplyEntry = "application/x-ndjson"))))
)]
pub(super) async fn endpoint(context: Context, request: Request) -> Result<Output, Problem> {
    let Request { event, data, to, except, timeout_ms, stream, project } = request;
    let app = context.project(project.as_deref())?;
    if timeout_ms.is_some_and(|ms| !(1..=TIMEOUT_MS_MAX).contains(&ms)) {
        return Err(Problem::invalid_field("timeout_ms", format_args!("expected 1 to {TIMEOUT_MS_MAX}")));
    }
    let timeout = timeout_ms.map_or(app.limits().request_timeout, Duration::from_millis);
    let (audience, data) = (to.except(except)?, payload(data)?);
    let replies = app.request_each(audience, timeout, &event, &data).await.map_err(problem)?;
    let replies = replies.map(entry);
    match stream {
        true => Ok(Output::Lines(lines(replies))),
        false => Ok(Replies { replies: replies.collect().await }.into_output()),
    }
}

fn lines(replies: impl Stream<Item = ReplyEntry> + Send + 'static) -> Body {
    let line = |reply: ReplyEntry| {
        let mut line = serde_json::to_vec(&reply).expect("a reply is JSON");
        line.push(b'\n');
        Ok::<_, Infallible>(Bytes::from(line))
    };
    Body::from_stream(replies.map(line))
}

fn entry(SocketReply { socket, reply, .. }: SocketReply) -> ReplyEntry {
    match reply {
        Ok(reply) => ReplyEntry { socket, reply: Some(reply), error: None },
        Err(error) => ReplyEntry { socket, reply: None, error: Some(code(&error)) },
    }
}

fn code(error: &RequestError) -> &'static str {
    match error {
        RequestError::Timeout(_) => "timeout",
        RequestError::Closed => "closed",
        RequestError::CannotReply => "cannot_reply",
        RequestError::TooMany { .. } => "too_many",
        _ => "unreachable",
    }
}

fn problem(error: RequestAllError) -> Problem {
    match error {
        RequestAllError::Backplane(_) => Problem::unavailable(),
        RequestAllError::Emit(error) => Problem::invalid_field("event", error),
        error => Problem::invalid_field("to", error),
    }
}
