//! Serves a request: checks its key, reads it, performs it once for each `Idempotency-Key`, and responds.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::response::{IntoResponse, Response};
use form_urlencoded::Serializer;
use http::{HeaderMap, Method, StatusCode};
use metrics::counter;
use switchboard_backplane::{Digest, RequestKey};

use super::audit;
use super::endpoint::{Context, Endpoint, Output};
use super::idempotency::{Attempt, digest};
use super::input::Input;
use super::key::{AdmittedKey, Key};
use super::problem::Problem;
use super::state::ApiState;

/// Longest `Idempotency-Key`, in bytes.
pub(super) const KEY_BYTES_MAX: usize = 256;

/// Responds to a request to an endpoint.
pub(super) async fn serve(
    state: Arc<ApiState>,
    endpoints: &'static [Endpoint],
    endpoint: &'static Endpoint,
    request: Request,
) -> Response {
    let response = respond(state, endpoints, endpoint, request).await;
    let outcome = response.as_ref().map_or_else(Problem::code, |_| "ok");
    counter!("switchboard_api_requests_total", "outcome" => outcome).increment(1);
    response.into_response()
}

async fn respond(
    state: Arc<ApiState>,
    endpoints: &'static [Endpoint],
    endpoint: &'static Endpoint,
    request: Request,
) -> Result<Response, Problem> {
    let key = match request.extensions().get::<AdmittedKey>() {
        Some(AdmittedKey(key)) => key.clone(),
        None => state.keys.admit(request.headers())?,
    };
    key.check_scope(endpoint.scope)?;
    let changes_something = !request.method().is_safe();
    let name = if changes_something { request_name(&key, request.headers())? } else { None };
    let input = read(request).await?;
    let context = Context { state, key, endpoints };
    if !changes_something {
        return Ok((endpoint.run)(context, input).await?.into_response());
    }
    // A task of its own, because the request has to be completed and remembered even if the client
    // disconnects: it may repeat the request.
    #[expect(
        clippy::disallowed_methods,
        reason = "it ends by itself: Redis calls and requests have time-outs"
    )]
    let performing = tokio::spawn(perform(context, endpoint, name, input));
    let (output, is_repeated) = performing.await.map_err(|_| Problem::unknown())??;
    let replayed = is_repeated.then_some([("idempotency-replayed", "true")]);
    Ok((replayed, output).into_response())
}

/// Returns the output, and true if it is a stored one.
async fn perform(
    context: Context,
    endpoint: &Endpoint,
    name: Option<Digest>,
    input: Input,
) -> Result<(Output, bool), Problem> {
    let Some(name) = name else { return Ok((audit::run(endpoint, context, input).await?, false)) };
    let requests = context.state.clone();
    let key = RequestKey { name, content: digest([endpoint.name.as_bytes(), input.as_bytes()]) };
    let claim = match requests.requests.claim(&key).await? {
        Attempt::Repeated(response) => return Ok((Output::Json(response), true)),
        Attempt::New(claim) => claim,
    };
    let output = audit::run(endpoint, context, input).await;
    let response = match &output {
        Ok(Output::Json(json)) => Some(json),
        _ => None,
    };
    claim.end(response).await;
    Ok((output?, false))
}

/// Reads the body of a POST, and otherwise the parameters of the path and the query.
async fn read(request: Request) -> Result<Input, Problem> {
    let (mut parts, body) = request.into_parts();
    if parts.method == Method::POST {
        let body = Bytes::from_request(Request::from_parts(parts, body), &()).await;
        return body.map(Input::Body).map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large(),
            _ => Problem::invalid("the body was not received completely"),
        });
    }
    let path = RawPathParams::from_request_parts(&mut parts, &()).await;
    let path = path.map_err(|_| Problem::invalid("the path is not text in UTF-8"))?;
    let mut parameters = Serializer::new(String::new());
    parameters.extend_pairs(&path);
    parameters.extend_pairs(form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()));
    Ok(Input::Parameters(parameters.finish()))
}

/// The name of the request, if it has an `Idempotency-Key`. Backends with different keys do not share names.
fn request_name(key: &Key, headers: &HeaderMap) -> Result<Option<Digest>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str() {
        Ok(text) if (1..=KEY_BYTES_MAX).contains(&text.len()) => {
            Ok(Some(digest([&key.digest, text.as_bytes()])))
        }
        _ => {
            let reason = format!("1 to {KEY_BYTES_MAX} ASCII characters are expected");
            Err(Problem::invalid_field("Idempotency-Key", reason))
        }
    }
}
