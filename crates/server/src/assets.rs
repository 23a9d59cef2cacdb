//! Serves the pages of the demo and the examples, which `switchboard-pages` embeds.

use axum::body::Body;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{Router, get};
use http::{StatusCode, header};
use switchboard_pages::{content_type, find};

/// Pages may load from this server only. The page at `/` shows them in frames.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'self'; frame-ancestors 'self'";

/// The routes of the pages `/chat/`, `/canvas/` and `/examples/`, and of their files.
pub(crate) fn demo() -> Router {
    Router::new().route("/{*path}", get(async |Path(path): Path<String>| file(&path)))
}

fn file(path: &str) -> Response {
    // Relative addresses in a page resolve only with the slash at its end.
    if find(&format!("{path}/index.html")).is_some() {
        return Redirect::permanent(&format!("/{path}/")).into_response();
    }
    let index = format!("{path}index.html");
    let path = if path.ends_with('/') { &index } else { path };
    let response = Response::builder()
        .header(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY)
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(header::CACHE_CONTROL, "no-cache");
    match find(path) {
        Some(content) => response.header(header::CONTENT_TYPE, content_type(path)).body(Body::from(content)),
        None => response.status(StatusCode::NOT_FOUND).body(Body::from("not found\n")),
    }
    .expect("the headers are valid")
}
