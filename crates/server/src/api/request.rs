//! How a request is done: read, done to its end, and answered, once for each `Idempotency-Key`.

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

use super::Shared;
use super::keys::Key;
use super::problem::Problem;
use super::repeats::{Coming, digest};

/// Longest `Idempotency-Key`, in bytes.
const KEY_BYTES_MAX: usize = 256;

/// A request that came with a known key.
pub(super) struct Incoming {
    shared: Arc<Shared>,
    /// Of what its sender calls it, if anything.
    name: Option<Digest>,
    body: Bytes,
}

impl FromRequest<Arc<Shared>> for Incoming {
    type Rejection = Problem;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, Problem> {
        let key: Key = *request.extensions().get().expect("only who has a key comes here");
        let name = name(key, request.headers())?;
        let body = Bytes::from_request(request, shared).await;
        let body = body.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large(),
            _ => Problem::invalid("the body did not arrive"),
        })?;
        Ok(Incoming { shared: shared.clone(), name, body })
    }
}

impl IntoParams for Incoming {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let description = "The same key with the same body gives the same answer for ten minutes, from every node. \
                           While Redis is away each node knows only what it did itself";
        let parameter = ParameterBuilder::new().name("Idempotency-Key").parameter_in(ParameterIn::Header);
        let text = Object::builder().schema_type(Type::String).max_length(Some(KEY_BYTES_MAX));
        vec![parameter.description(Some(description)).schema(Some(text)).build()]
    }
}

impl Incoming {
    /// Does what the body says, unless it was done before. `endpoint` tells it from another one with the
    /// same body.
    pub(super) async fn answer<W, D, F>(
        self,
        endpoint: &'static str,
        act: fn(App, W) -> F,
    ) -> Result<Response, Problem>
    where
        W: DeserializeOwned + Send + 'static,
        D: Serialize + 'static,
        F: Future<Output = Result<D, Problem>> + Send + 'static,
    {
        // Done to its end and remembered, even if who asked has gone meanwhile and is about to ask again.
        #[expect(clippy::disallowed_methods, reason = "it ends by itself: Redis answers within 2 s")]
        let doing = tokio::spawn(self.perform(endpoint, act));
        let (answer, is_repeated) = doing.await.map_err(|_| Problem::unknown())??;
        let replayed = is_repeated.then_some([("idempotency-replayed", "true")]);
        Ok(([(header::CONTENT_TYPE, "application/json")], replayed, answer).into_response())
    }

    /// The answer, and whether it was given before.
    async fn perform<W, D, F>(
        self,
        endpoint: &'static str,
        act: fn(App, W) -> F,
    ) -> Result<(Bytes, bool), Problem>
    where
        W: DeserializeOwned,
        D: Serialize,
        F: Future<Output = Result<D, Problem>>,
    {
        let Incoming { shared, name, body } = self;
        let first = match name {
            Some(name) => {
                let asked = RequestKey { name, content: digest([endpoint.as_bytes(), &body]) };
                match shared.memories.begin(&asked).await? {
                    Coming::Again(answer) => return Ok((answer, true)),
                    Coming::First(first) => Some(first),
                }
            }
            None => None,
        };
        let done = async { act(shared.app.clone(), read(&body)?).await };
        let answer = done.await.map(|done| Bytes::from(serde_json::to_vec(&done).expect("numbers are JSON")));
        if let Some(first) = first {
            first.end(answer.as_ref().ok()).await;
        }
        Ok((answer?, false))
    }
}

/// What its sender calls the request, if anything. Senders with other keys call others so.
fn name(Key(key): Key, headers: &HeaderMap) -> Result<Option<Digest>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str() {
        Ok(text) if (1..=KEY_BYTES_MAX).contains(&text.len()) => Ok(Some(digest([&key, text.as_bytes()]))),
        _ => Err(Problem::invalid(format!(
            "Idempotency-Key: 1 to {KEY_BYTES_MAX} ASCII characters are expected"
        ))),
    }
}

fn read<W: DeserializeOwned>(body: &[u8]) -> Result<W, Problem> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let wanted = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let field = error.path().to_string();
        match field.as_str() {
            "." => Problem::invalid(error.inner().to_string()),
            _ => Problem::invalid(format!("{field}: {}", error.inner())),
        }
    })?;
    json.end().map_err(|error| Problem::invalid(error.to_string()))?;
    Ok(wanted)
}
