//! Reads a request, performs it once for each `Idempotency-Key`, and responds.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use switchboard::App;
use switchboard_backplane::{Digest, RequestKey};
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{Object, Type};

use super::idempotency::{Attempt, digest};
use super::keys::KeyDigest;
use super::problem::Problem;
use super::state::ApiState;

/// Longest `Idempotency-Key`, in bytes.
const KEY_BYTES_MAX: usize = 256;

/// A request with a valid key.
pub(super) struct Incoming {
    state: Arc<ApiState>,
    /// Digest of the API key and of the header `Idempotency-Key`, if there is one.
    name: Option<Digest>,
    body: Bytes,
}

impl FromRequest<Arc<ApiState>> for Incoming {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &Arc<ApiState>) -> Result<Self, Problem> {
        let key: KeyDigest =
            *request.extensions().get().expect("requests without a key are refused before this");
        let name = request_name(key, request.headers())?;
        let body = Bytes::from_request(request, state).await;
        let body = body.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large(),
            _ => Problem::invalid("the body was not received completely"),
        })?;
        Ok(Incoming { state: state.clone(), name, body })
    }
}

impl IntoParams for Incoming {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let description = "A repeated request with the same key and body gets the same response for ten minutes, from \
                           every node. While Redis is down each node remembers its own requests only";
        let parameter = ParameterBuilder::new().name("Idempotency-Key").parameter_in(ParameterIn::Header);
        let text = Object::builder().schema_type(Type::String).max_length(Some(KEY_BYTES_MAX));
        vec![parameter.description(Some(description)).schema(Some(text)).build()]
    }
}

impl Incoming {
    /// Performs the request, or returns the stored response of an earlier one. `endpoint` distinguishes
    /// requests with equal bodies.
    pub(super) async fn respond<B, D, F>(
        self,
        endpoint: &'static str,
        act: fn(App, B) -> F,
    ) -> Result<Response, Problem>
    where
        B: DeserializeOwned + Send + 'static,
        D: Serialize + 'static,
        F: Future<Output = Result<D, Problem>> + Send + 'static,
    {
        // A task of its own, because the request has to be completed and remembered even if the client
        // disconnects: it may repeat the request.
        #[expect(clippy::disallowed_methods, reason = "it ends by itself: Redis calls time out after 2 s")]
        let performing = tokio::spawn(self.perform(endpoint, act));
        let (response, is_repeated) = performing.await.map_err(|_| Problem::unknown())??;
        let replayed = is_repeated.then_some([("idempotency-replayed", "true")]);
        Ok(([(header::CONTENT_TYPE, "application/json")], replayed, response).into_response())
    }

    /// Returns the response, and true if it is a stored one.
    async fn perform<B, D, F>(
        self,
        endpoint: &'static str,
        act: fn(App, B) -> F,
    ) -> Result<(Bytes, bool), Problem>
    where
        B: DeserializeOwned,
        D: Serialize,
        F: Future<Output = Result<D, Problem>>,
    {
        let Incoming { state, name, body } = self;
        let claim = match name {
            Some(name) => {
                let key = RequestKey { name, content: digest([endpoint.as_bytes(), &body]) };
                match state.requests.claim(&key).await? {
                    Attempt::Repeated(response) => return Ok((response, true)),
                    Attempt::New(claim) => Some(claim),
                }
            }
            None => None,
        };
        let performed = async { act(state.app.clone(), read(&body)?).await };
        let response =
            performed.await.map(|done| Bytes::from(serde_json::to_vec(&done).expect("numbers are JSON")));
        if let Some(claim) = claim {
            claim.end(response.as_ref().ok()).await;
        }
        Ok((response?, false))
    }
}

/// The name of the request, if it has an `Idempotency-Key`. Backends with different keys do not share names.
fn request_name(KeyDigest(key): KeyDigest, headers: &HeaderMap) -> Result<Option<Digest>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str() {
        Ok(text) if (1..=KEY_BYTES_MAX).contains(&text.len()) => Ok(Some(digest([&key, text.as_bytes()]))),
        _ => Err(Problem::invalid(format!(
            "Idempotency-Key: 1 to {KEY_BYTES_MAX} ASCII characters are expected"
        ))),
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let field = error.path().to_string();
        match field.as_str() {
            "." => Problem::invalid(error.inner().to_string()),
            _ => Problem::invalid(format!("{field}: {}", error.inner())),
        }
    })?;
    json.end().map_err(|error| Problem::invalid(error.to_string()))?;
    Ok(value)
}
