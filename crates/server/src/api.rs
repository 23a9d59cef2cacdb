//! The HTTP API for backends in any language, on a listener of its own.
//!
//! Every request needs a key, except the one for the description. Endpoints call the same methods of
//! [`App`] that handlers call.

mod disconnect;
mod dispatch;
mod idempotency;
mod keys;
mod problem;
mod request;
mod state;
mod targets;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use http::header;
use switchboard::App;
use switchboard_backplane::IdempotencyStore;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use idempotency::RequestStores;
use keys::KeyDigest;
use problem::Problem;

pub(crate) use keys::SharedKeys;
use state::ApiState;

/// All routes, each below `/api/v1`. `for_all_nodes` remembers the requests of all nodes, if there is Redis.
pub(crate) fn routes(
    app: App,
    for_all_nodes: Option<Arc<dyn IdempotencyStore>>,
    keys: Arc<SharedKeys>,
    body_bytes_max: usize,
) -> Router {
    let requests = RequestStores::new(for_all_nodes);
    let state = Arc::new(ApiState { app, keys, requests });
    Router::new()
        .route("/api/v1/dispatch", post(dispatch::dispatch))
        .route("/api/v1/disconnect", post(disconnect::disconnect))
        .layer(DefaultBodyLimit::max(body_bytes_max))
        .layer(from_fn_with_state(state.clone(), admit))
        .route(
            "/api/v1/openapi.json",
            get(async || ([(header::CONTENT_TYPE, "application/json")], openapi())),
        )
        .with_state(state)
}

/// Checks the key of a request, and its rate.
async fn admit(
    State(state): State<Arc<ApiState>>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let key: KeyDigest = state.keys.admit(request.headers())?;
    request.extensions_mut().insert(key);
    Ok(next.run(request).await)
}

/// The OpenAPI description, the same as in `spec/openapi.json`.
fn openapi() -> String {
    let mut text = Description::openapi().to_pretty_json().expect("a description is JSON");
    text.push('\n');
    text
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Switchboard", description = "Sends events to sockets, and closes sockets, from a backend in any language.", license(name = "MIT OR Apache-2.0")),
    paths(dispatch::dispatch, disconnect::disconnect),
    components(schemas(Problem)),
    modifiers(&Bearer),
)]
struct Description;

/// Adds the scheme of the keys to the description.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("key", SecurityScheme::Http(scheme));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_generated_description_is_current() {
        switchboard_testkit::generated::assert_current("spec/openapi.json", &super::openapi());
    }
}
