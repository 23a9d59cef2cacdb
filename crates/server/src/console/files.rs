//! The files of the pages. They contain nothing of the node, so they need no session.

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use http::{StatusCode, header};
use switchboard_pages::{content_type, find_console};

/// The pages load their own files and call their own origin only. No script or style is inline, and no page shows them in a
/// frame.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                                       connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn routes() -> Router {
    Router::new()
        // Relative addresses in the page resolve only with the slash at its end.
        .route("/console", get(async || Redirect::permanent("console/")))
        .route("/console/", get(async || file("index.html")))
        .route("/console/{*path}", get(async |Path(path): Path<String>| file(&path)))
}

fn file(path: &str) -> Response {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    match find_console(path) {
        Some(content) => (headers, [(header::CONTENT_TYPE, content_type(path))], content).into_response(),
        None => (StatusCode::NOT_FOUND, headers, "not found\n").into_response(),
    }
}
