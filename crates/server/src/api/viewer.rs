//! `/api/v1/docs/`: a page to read and to try the API. It is Swagger UI; its files are in the binary, so that it works
//! without a network; browsers may load nothing else for it.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use http::{HeaderName, header};
use utoipa_swagger_ui::{Config, SwaggerFile};

use super::problem::Problem;

/// The page loads its own files and calls this API only. Swagger UI sets styles in attributes.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                                       connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page reads the description beside it, so that it also works behind a proxy that adds a path.
static CONFIG: LazyLock<Arc<Config<'static>>> =
    LazyLock::new(|| Arc::new(Config::from("../openapi.json").validator_url("none")));

/// The routes of the page and its files. They need no key: a visitor enters one on the page.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        // Relative addresses in the page resolve only with the slash at its end.
        .route("/api/v1/docs", get(async || Redirect::permanent("docs/")))
        .route("/api/v1/docs/", get(async || file("index.html")))
        .route("/api/v1/docs/{file}", get(async |Path(name): Path<String>| file(&name)))
}

fn file(name: &str) -> Response {
    let Ok(Some(file)) = utoipa_swagger_ui::serve(name, CONFIG.clone()) else {
        return Problem::no_endpoint().into_response();
    };
    let SwaggerFile { bytes, content_type, gzpipped, .. } = file;
    let headers: [(HeaderName, &str); 4] = [
        (header::CONTENT_TYPE, &content_type),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    let encoding = gzpipped.then_some([(header::CONTENT_ENCODING, "gzip")]);
    (headers, encoding, bytes.into_owned()).into_response()
}
