//! `POST /api/v1/dispatch`: sends an event to an audience, live or waiting.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use switchboard::{Audience, IntoAudience, KeepError, Name, Payload, SocketId, Target};
use utoipa::ToSchema;

use super::Shared;
use super::keys::Key;
use super::problem::Problem;
use super::repeats::{Begun, Called, KEY_BYTES_MAX};

/// A message, and for whom it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Dispatch {
    /// The event's name: Mesa's type.
    #[serde(rename = "type")]
    #[schema(example = "STATUS_UPDATE", min_length = 1, max_length = 256)]
    kind: String,
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

/// Sets of sockets, added up.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Targets {
    /// All sockets of these users.
    users: Vec<String>,
    /// All sockets in these rooms, with or without `#`.
    rooms: Vec<String>,
    /// All sockets with these tags, with or without `*`.
    tags: Vec<String>,
    /// These sockets.
    #[schema(value_type = Vec<String>)]
    sockets: Vec<SocketId>,
    /// Every socket of the project.
    everyone: bool,
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
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key with the same body gives the same answer, for ten minutes; at most 256 bytes")),
    request_body = Dispatch,
    responses(
        (status = 200, description = "It is sent, or kept and sent", body = Dispatched),
        (status = 400, description = "The request cannot be understood; it says which field", body = Problem),
        (status = 401, description = "No known key", body = Problem),
        (status = 409, description = "The same request is under way", body = Problem),
        (status = 413, description = "The body is too large", body = Problem),
        (status = 422, description = "The Idempotency-Key was used with another body", body = Problem),
        (status = 429, description = "Too many requests with this key", body = Problem),
        (status = 503, description = "It is not known to be kept", body = Problem),
    )
)]
pub(super) async fn dispatch(
    State(shared): State<Arc<Shared>>,
    Extension(key): Extension<Key>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large(),
        _ => Problem::invalid("the body did not arrive"),
    })?;
    let called = called(key, &headers)?;
    // Done to its end and remembered, even if who asked has gone meanwhile and is about to ask again.
    #[expect(clippy::disallowed_methods, reason = "it ends by itself: Redis answers within 2 s")]
    let doing = tokio::spawn(async move { perform(&shared, called, &body).await });
    let (answer, is_repeated) = doing.await.map_err(|_| Problem::not_kept())??;
    let replayed = is_repeated.then_some([("idempotency-replayed", "true")]);
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    Ok(match replayed {
        Some(replayed) => (content_type, replayed, answer).into_response(),
        None => (content_type, answer).into_response(),
    })
}

/// What its sender calls the request, if anything.
fn called(key: Key, headers: &HeaderMap) -> Result<Option<Called>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str() {
        Ok(text) if (1..=KEY_BYTES_MAX).contains(&text.len()) => Ok(Some((key, text.into()))),
        _ => Err(Problem::invalid(format!(
            "Idempotency-Key: 1 to {KEY_BYTES_MAX} ASCII characters are expected"
        ))),
    }
}

/// The answer, and whether it was given before.
async fn perform(shared: &Shared, called: Option<Called>, body: &[u8]) -> Result<(String, bool), Problem> {
    let first = match called.map(|called| shared.repeats.begin(called, body)).transpose()? {
        Some(Begun::Again(answer)) => return Ok((answer, true)),
        Some(Begun::First(first)) => Some(first),
        None => None,
    };
    let done = send(shared, read(body)?).await?;
    let answer = serde_json::to_string(&done).expect("numbers are JSON");
    if let Some(first) = first {
        first.answer(&answer);
    }
    Ok((answer, false))
}

fn read(body: &[u8]) -> Result<Dispatch, Problem> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let dispatch = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let field = error.path().to_string();
        match field.as_str() {
            "." => Problem::invalid(error.inner().to_string()),
            _ => Problem::invalid(format!("{field}: {}", error.inner())),
        }
    })?;
    json.end().map_err(|error| Problem::invalid(error.to_string()))?;
    Ok(dispatch)
}

async fn send(shared: &Shared, dispatch: Dispatch) -> Result<Dispatched, Problem> {
    let Dispatch { kind, data, to, except, sync, project } = dispatch;
    let app = match project {
        Some(project) => shared.app.project(&name("project", &project)?),
        None => shared.app.clone(),
    };
    let data = data.map_or(Ok(Payload::EMPTY), |data| Payload::parse(data.get()));
    let data = data.map_err(|error| Problem::invalid(format!("data: {error}")))?;
    name("type", &kind)?;
    let audience = Audience { to: to.list("to")?, except: except.list("except")? };
    if audience.to.is_empty() {
        return Err(Problem::invalid("to: nobody is named"));
    }
    let send = app.to(audience.into_audience().expect("it is one"));
    if !sync {
        let here = send.emit_payload(&kind, data).map_err(|error| Problem::invalid(error.to_string()))?;
        let degraded = (!app.hub().bus().is_up()).then_some(true);
        return Ok(Dispatched { sockets_here: Some(here), degraded, ..Dispatched::default() });
    }
    match send.keep_payload(&kind, data).await {
        Ok(kept) => Ok(Dispatched {
            inboxes: Some(kept.inboxes),
            displaced: Some(kept.displaced),
            ..Dispatched::default()
        }),
        Err(KeepError::Store(error)) => {
            tracing::warn!(%error, "a message is not known to be kept");
            Err(Problem::not_kept())
        }
        Err(KeepError::NoInbox) => {
            let hint = "no message waits on this server; mesa.sync.enabled=true has them wait";
            Err(Problem::invalid(format!("sync: {hint}")))
        }
        Err(error) => Err(Problem::invalid(format!("sync: {error}"))),
    }
}

fn name(field: &str, text: &str) -> Result<Name, Problem> {
    Name::new(text).map_err(|error| Problem::invalid(format!("{field}: {error}")))
}

impl Targets {
    fn list(self, field: &str) -> Result<Vec<Target>, Problem> {
        let mut list: Vec<Target> = self.sockets.into_iter().map(Target::Socket).collect();
        list.extend(self.everyone.then_some(Target::Everyone));
        for (part, texts, make) in [
            ("users", self.users, Target::user as fn(&str) -> _),
            ("rooms", self.rooms, Target::room),
            ("tags", self.tags, Target::tag),
        ] {
            for (place, text) in texts.iter().enumerate() {
                let target = make(text);
                list.push(
                    target.map_err(|error| Problem::invalid(format!("{field}.{part}[{place}]: {error}")))?,
                );
            }
        }
        Ok(list)
    }
}
