//! The HTTP API: what backends in any language ask, on a listener of its own.
//!
//! Every request but the one for its description has a key. What it does it does by the same methods of
//! [`App`] that handlers have.

mod disconnect;
mod dispatch;
mod keys;
mod memory;
mod problem;
mod repeats;
mod request;
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

use crate::config::Api;
use keys::{Key, Keys};
use problem::Problem;
use repeats::Memories;

/// What requests are answered from.
struct Shared {
    app: App,
    keys: Keys,
    memories: Memories,
}

/// All routes, each below `/api/v1`. `for_all_nodes` remembers requests for all of them, if there are others.
pub(crate) fn routes(app: App, for_all_nodes: Option<Arc<dyn IdempotencyStore>>, settings: &Api) -> Router {
    let memories = Memories::new(for_all_nodes);
    let shared = Arc::new(Shared { app, keys: Keys::new(settings), memories });
    Router::new()
        .route("/api/v1/dispatch", post(dispatch::dispatch))
        .route("/api/v1/disconnect", post(disconnect::disconnect))
        .layer(DefaultBodyLimit::max(settings.body_bytes_max))
        .layer(from_fn_with_state(shared.clone(), admit))
        .route(
            "/api/v1/openapi.json",
            get(async || ([(header::CONTENT_TYPE, "application/json")], openapi())),
        )
        .with_state(shared)
}

/// Lets requests with a key go on, as many as may.
async fn admit(
    State(shared): State<Arc<Shared>>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let key: Key = shared.keys.admit(request.headers())?;
    request.extensions_mut().insert(key);
    Ok(next.run(request).await)
}

/// The description, as it stands in `spec/openapi.json`.
fn openapi() -> String {
    let mut text = Description::openapi().to_pretty_json().expect("a description is JSON");
    text.push('\n');
    text
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Switchboard", description = "Sends to sockets, and closes them, from any backend.", license(name = "MIT OR Apache-2.0")),
    paths(dispatch::dispatch, disconnect::disconnect),
    components(schemas(Problem)),
    modifiers(&Bearer),
)]
struct Description;

/// Every request has a key.
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
    const SPEC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../spec/openapi.json");

    #[test]
    fn the_description_is_the_one_in_spec() {
        let known = std::fs::read_to_string(SPEC).unwrap_or_default();
        let how = "to write it: cargo test -p switchboard-server write_the_description -- --ignored";
        assert!(known == super::openapi(), "spec/openapi.json is not what is served; {how}");
    }

    #[test]
    #[ignore = "writes spec/openapi.json"]
    fn write_the_description() {
        std::fs::write(SPEC, super::openapi()).expect("it can be written");
    }
}
