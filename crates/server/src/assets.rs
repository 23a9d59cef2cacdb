//! The pages of the demo, embedded in the binary.

use axum::body::Body;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{Router, get};
use http::{StatusCode, header};

#[derive(rust_embed::RustEmbed)]
#[folder = "assets/demo"]
struct Demo;

/// Pages may load what comes from here and nothing else.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// The demo's pages, `/` and `/canvas/`, and their files beside them.
pub(crate) fn demo() -> Router {
    Router::new()
        .route("/", get(async || file("index.html")))
        .route("/{*path}", get(async |Path(path): Path<String>| file(&path)))
}

fn file(path: &str) -> Response {
    // Relative addresses in a page need the slash at the end.
    if Demo::get(&format!("{path}/index.html")).is_some() {
        return Redirect::permanent(&format!("/{path}/")).into_response();
    }
    let index = format!("{path}index.html");
    let path = if path.ends_with('/') { &index } else { path };
    let response = Response::builder()
        .header(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY)
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(header::CACHE_CONTROL, "no-cache");
    match Demo::get(path) {
        Some(file) => {
            let kind = mime_guess::from_path(path).first_or_octet_stream();
            response.header(header::CONTENT_TYPE, kind.as_ref()).body(Body::from(file.data))
        }
        None => response.status(StatusCode::NOT_FOUND).body(Body::from("not found\n")),
    }
    .expect("the headers are valid")
}
