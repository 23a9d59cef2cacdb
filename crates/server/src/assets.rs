//! The pages of the demo, embedded in the binary: the plain ones, and the examples where they could be built.

use std::borrow::Cow;

use axum::body::Body;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{Router, get};
use http::{StatusCode, header};

#[derive(rust_embed::RustEmbed)]
#[folder = "assets/demo"]
struct Plain;

/// The example pages, as `build.rs` made them.
mod examples {
    include!(concat!(env!("OUT_DIR"), "/pages.rs"));
}

/// Why there are no example pages, if there are none.
pub(crate) const EXAMPLES_MISSING: Option<&str> = examples::MISSING;

/// Stands where the examples would be, with the reason in place of `{reason}`.
const INSTEAD_OF_EXAMPLES: &str = include_str!("../assets/no-examples.html");

/// Pages may load what comes from here and nothing else.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// The demo's pages, `/`, `/canvas/` and `/examples/`, and their files beside them.
pub(crate) fn demo() -> Router {
    Router::new()
        .route("/", get(async || file("index.html")))
        .route("/{*path}", get(async |Path(path): Path<String>| file(&path)))
}

fn find(path: &str) -> Option<Cow<'static, [u8]>> {
    if let ("examples/index.html", Some(reason)) = (path, EXAMPLES_MISSING) {
        let page = INSTEAD_OF_EXAMPLES.replace("{reason}", &reason.replace('<', "&lt;"));
        return Some(page.into_bytes().into());
    }
    if let Some(file) = Plain::get(path) {
        return Some(file.data);
    }
    examples::PAGES.iter().find(|(name, _)| *name == path).map(|(_, content)| Cow::Borrowed(*content))
}

fn file(path: &str) -> Response {
    // Relative addresses in a page need the slash at the end.
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
        Some(content) => {
            let kind = mime_guess::from_path(path).first_or_octet_stream();
            let charset = if kind.type_() == "text" { "; charset=utf-8" } else { "" };
            response.header(header::CONTENT_TYPE, format!("{kind}{charset}")).body(Body::from(content))
        }
        None => response.status(StatusCode::NOT_FOUND).body(Body::from("not found\n")),
    }
    .expect("the headers are valid")
}
