//! `GET /info/<projectId>`: lists the shards of a project, for pages of any origin.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use axum::{Extension, Router};
use bytes::Bytes;
use http::{StatusCode, Uri, header};
use percent_encoding::percent_decode_str;
use serde_json::json;
use switchboard_backplane::Shard;
use switchboard_event::{ProjectId, Resource};
use switchboard_log::{limited, printable_error};

use crate::api::app::App;
use crate::node::access::operation::Operation;
use crate::node::access::rule::Subject;
use crate::node::errors::QueryError;
use crate::node::request_cost::RequestCost;
use crate::protocols::koji::info_answers::InfoAnswers;

/// An answer counts as one request for each started part of this many bytes.
const BYTES_PER_REQUEST: usize = 4096;

#[derive(Clone)]
struct RouteState {
    app: App,
    answers: InfoAnswers,
}

/// The HTTP routes of the protocol.
pub(crate) fn routes(app: App) -> Router {
    let info: MethodRouter<RouteState> = get(info).options(preflight);
    let state = RouteState { app, answers: InfoAnswers::default() };
    // A client that is configured with an address that ends in a slash requests `//info/…`.
    let paths = ["/info/", "/info/{*project}", "//info/{*project}"];
    paths.into_iter().fold(Router::new(), |routes, path| routes.route(path, info.clone())).with_state(state)
}

const ANY_ORIGIN: (header::HeaderName, &str) = (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");

async fn preflight() -> impl IntoResponse {
    let methods = (header::ACCESS_CONTROL_ALLOW_METHODS, "GET");
    let headers = (header::ACCESS_CONTROL_ALLOW_HEADERS, "*");
    (StatusCode::NO_CONTENT, [ANY_ORIGIN, methods, headers])
}

async fn info(State(RouteState { app, answers }): State<RouteState>, uri: Uri) -> Response {
    let Ok(project) = ProjectId::new(&project_of(&uri)) else {
        return json_response(StatusCode::OK, Bytes::from_static(b"[]"));
    };
    let tasks = &app.node().tasks;
    match answers.get(&project, tasks, list_shards(app.project(&project))).await {
        Ok(list) => json_response(StatusCode::OK, list),
        Err(error) => {
            limited!(
                WARN,
                error = printable_error(&*error),
                "cannot list the shards; the request is answered with 503"
            );
            let body = json!({ "error": "the store did not answer" }).to_string();
            json_response(StatusCode::SERVICE_UNAVAILABLE, body.into())
        }
    }
}

async fn list_shards(app: App) -> Result<Bytes, QueryError> {
    // No token is shown here, so the project's rule alone counts.
    let subject = Subject { project: app.project_id(), session: None, user: None, claim: None };
    let is_visible = |shard: &Shard| {
        app.node().access.allows(subject, Operation::ListShards.right(), Resource::Shard(&shard.name))
    };
    let shards = app.shards().await?.into_iter().filter(is_visible);
    let list = shards.map(|shard| json!({ "shardName": shard.name, "numConnectedClients": shard.seated }));
    Ok(serde_json::Value::from_iter(list).to_string().into())
}

fn json_response(status: StatusCode, body: Bytes) -> Response {
    let headers =
        [ANY_ORIGIN, (header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    let cost = RequestCost(body.len().div_ceil(BYTES_PER_REQUEST).max(1) as u32);
    (status, headers, Extension(cost), body).into_response()
}

/// The project id is everything after `/info/`, with slashes and query, because clients do not encode it.
fn project_of(uri: &Uri) -> String {
    let address = uri.path_and_query().map_or("", |address| address.as_str());
    let id = address.trim_start_matches('/').strip_prefix("info/").unwrap_or_default();
    let id = percent_decode_str(id).decode_utf8_lossy();
    if id.is_empty() { "undefined".into() } else { id.into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_is_everything_after_info() {
        for (uri, project) in [
            ("/info/p", "p"),
            ("/info/a/b?c=d", "a/b?c=d"),
            ("/info/a%20b", "a b"),
            ("/info/100%", "100%"),
            ("//info/p/", "p/"),
            ("/info/", "undefined"),
        ] {
            assert_eq!(project_of(&uri.parse().unwrap()), project);
        }
    }
}
