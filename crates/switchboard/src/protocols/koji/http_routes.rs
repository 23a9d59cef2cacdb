//! `GET /info/<projectId>`: lists the shards of a project, for pages of any origin.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use http::{StatusCode, Uri, header};
use percent_encoding::percent_decode_str;
use serde_json::json;
use switchboard_event::ProjectId;

use crate::api::app::App;

/// The HTTP routes of the protocol.
pub(crate) fn routes(app: App) -> Router {
    let info: MethodRouter<App> = get(info).options(preflight);
    Router::new().route("/info/", info.clone()).route("/info/{*project}", info).with_state(app)
}

const ANY_ORIGIN: (header::HeaderName, &str) = (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");

async fn preflight() -> impl IntoResponse {
    let methods = (header::ACCESS_CONTROL_ALLOW_METHODS, "GET");
    let headers = (header::ACCESS_CONTROL_ALLOW_HEADERS, "*");
    (StatusCode::NO_CONTENT, [ANY_ORIGIN, methods, headers])
}

async fn info(State(app): State<App>, uri: Uri) -> Response {
    let Ok(project) = ProjectId::new(&project_of(&uri)) else {
        return json_response(StatusCode::OK, &json!([]));
    };
    match app.project(&project).shards().await {
        Ok(shards) => {
            let list = shards
                .into_iter()
                .map(|shard| json!({ "shardName": shard.name, "numConnectedClients": shard.seated }));
            json_response(StatusCode::OK, &list.collect())
        }
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot list the shards; the request is answered with 503"
            );
            json_response(StatusCode::SERVICE_UNAVAILABLE, &json!({ "error": "the store did not answer" }))
        }
    }
}

fn json_response(status: StatusCode, body: &serde_json::Value) -> Response {
    let headers =
        [ANY_ORIGIN, (header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, body.to_string()).into_response()
}

/// The project id is everything after `/info/`, with slashes and query, because clients do not encode it.
fn project_of(uri: &Uri) -> String {
    let address = uri.path_and_query().map_or("", |address| address.as_str());
    let id = percent_decode_str(address.strip_prefix("/info/").unwrap_or_default()).decode_utf8_lossy();
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
            ("/info/", "undefined"),
        ] {
            assert_eq!(project_of(&uri.parse().unwrap()), project);
        }
    }
}
