//! The HTTP API for backends in any language, on a listener of its own.
//!
//! Every request needs a key, except those for the description. Endpoints call the same methods of
//! [`App`] that handlers call. Each has a file and a line in the table below.

mod audit;
mod batch;
mod changed;
mod clear_inbox;
mod connection;
mod connections;
mod description;
mod disconnect;
mod dispatch;
mod drain;
mod endpoint;
#[cfg(test)]
mod examples;
mod explain;
mod figures;
mod history;
mod hooks;
mod idempotency;
mod inbox;
mod info;
mod input;
mod join;
mod key;
mod keys;
mod leave;
mod members;
mod node_id;
mod nodes;
mod page;
mod problem;
mod reload;
mod replay_hooks;
mod request;
mod revoke;
mod room;
mod rooms;
mod send;
mod serve;
mod settings;
mod shard;
mod shards;
mod socket;
mod sockets;
mod state;
mod tag;
mod targets;
mod trace;
mod traces;
mod untag;
mod user;
mod users;
mod viewer;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::response::IntoResponse;
use axum::routing::{MethodFilter, get, on};
use http::header;
use switchboard::App;
use switchboard_backplane::IdempotencyStore;
use switchboard_hooks::Webhooks;
use utoipa::openapi::path::HttpMethod;
use utoipa::{OpenApi, Path};

use crate::figures::Figures;
use crate::reload_handle::ReloadHandle;
use description::Route;
use endpoint::Endpoint;
use idempotency::RequestStores;
pub(crate) use key::{AdmittedKey, SharedKeys};
pub(crate) use problem::Problem;
use state::ApiState;

/// The table of endpoints: the scope that a key needs, and the file; its function `endpoint` has the method and the
/// path. `Every` is a key of every scope.
macro_rules! endpoints {
    ($($scope:ident: $($module:ident)*;)*) => {
        /// All endpoints.
        static ENDPOINTS: &[Endpoint] = &[$($(Endpoint {
            name: stringify!($module),
            scope: scope::$scope,
            run: |context, input| endpoint::run($module::endpoint, context, input),
        },)*)*];

        /// Where each endpoint is, in the order of the table.
        fn paths() -> Vec<(Vec<HttpMethod>, String)> {
            vec![$($((
                <$module::__path_endpoint as Path>::methods(),
                <$module::__path_endpoint as Path>::path(),
            ),)*)*]
        }

        #[derive(OpenApi)]
        #[openapi(
            info(
                title = "Switchboard",
                description = "Sends events to sockets, changes and lists them, revokes tokens, shows webhooks and reloads settings, from a backend in any language.",
                license(name = "MIT OR Apache-2.0")
            ),
            paths($($($module::endpoint,)*)*),
            components(schemas(problem::ProblemSchema)),
        )]
        struct Description;
    };
}

endpoints! {
    Every: batch;
    Read: connection connections explain figures history hooks inbox info members nodes room rooms settings shard shards socket sockets trace traces user users;
    Send: dispatch request send;
    Manage: clear_inbox disconnect drain join keys leave reload replay_hooks revoke tag untag;
}

/// The scopes in the table.
#[expect(non_upper_case_globals, reason = "they are written as the scopes")]
mod scope {
    use crate::config::ApiScope;

    pub(super) const Every: Option<ApiScope> = None;
    pub(super) const Read: Option<ApiScope> = Some(ApiScope::Read);
    pub(super) const Send: Option<ApiScope> = Some(ApiScope::Send);
    pub(super) const Manage: Option<ApiScope> = Some(ApiScope::Manage);
}

/// What a node has besides its app.
pub(crate) struct OfNode {
    /// `None` without endpoints.
    pub(crate) webhooks: Option<Arc<Webhooks>>,
    pub(crate) figures: Arc<Figures>,
    /// The default window of a drain.
    pub(crate) drain_window: Duration,
}

/// All routes, each below `/api/v1`. `for_all_nodes` remembers the requests of all nodes, if there is Redis.
pub(crate) fn routes(
    app: App,
    for_all_nodes: Option<Arc<dyn IdempotencyStore>>,
    keys: Arc<SharedKeys>,
    reload: ReloadHandle,
    of_node: OfNode,
    body_bytes_max: usize,
) -> Router {
    let requests = RequestStores::new(for_all_nodes);
    let OfNode { webhooks, figures, drain_window } = of_node;
    let state = Arc::new(ApiState { app, keys, requests, reload, webhooks, figures, drain_window });
    let mut router = Router::new();
    for Route { path, method, endpoint } in table() {
        let handler = async move |State(state): State<Arc<ApiState>>, request: Request| {
            serve::serve(state, ENDPOINTS, endpoint, request).await
        };
        router = router.route(&path, on(method_filter(&method), handler));
    }
    let json = [(header::CONTENT_TYPE, "application/json")];
    let markdown = [(header::CONTENT_TYPE, "text/markdown; charset=utf-8")];
    let description: Arc<str> = openapi().into();
    router
        .merge(viewer::routes())
        .route("/api/v1/openapi.json", get(async move || (json, description.to_string())))
        .route(problem::PATH, get(async move || (markdown, problem::reference())))
        .fallback(async || Problem::no_endpoint().into_response())
        .method_not_allowed_fallback(async || Problem::method_not_allowed().into_response())
        .layer(DefaultBodyLimit::max(body_bytes_max))
        .with_state(state)
}

/// Each endpoint with its method and path.
fn table() -> Vec<Route> {
    let routes = paths().into_iter().zip(ENDPOINTS).map(|((mut methods, path), endpoint)| {
        let method = methods.pop().expect("each endpoint has a method");
        Route { path, method, endpoint }
    });
    routes.collect()
}

fn method_filter(method: &HttpMethod) -> MethodFilter {
    match method {
        HttpMethod::Get => MethodFilter::GET,
        HttpMethod::Delete => MethodFilter::DELETE,
        _ => MethodFilter::POST,
    }
}

/// The OpenAPI description, the same as in `spec/openapi.json`.
fn openapi() -> String {
    description::text(&description::complete(Description::openapi(), &table()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_generated_description_is_current() {
        switchboard_testkit::generated::assert_current("spec/openapi.json", &super::openapi());
    }

    #[test]
    fn the_generated_examples_are_current() {
        let page = super::examples::page(&super::openapi());
        switchboard_testkit::generated::assert_current("docs/reference/http-api-examples.md", &page);
    }
}
