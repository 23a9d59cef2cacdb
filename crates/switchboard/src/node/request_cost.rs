//! The cost of an HTTP request, as its response states it.

/// A response with this extension counts as that many requests of
/// [`Limits::http_requests_per_s`](crate::Limits::http_requests_per_s), and not as one.
///
/// ```
/// use axum::response::IntoResponse;
/// use axum::{Extension, Router, routing::get};
/// use switchboard::App;
/// use switchboard::rates::RequestCost;
///
/// async fn report() -> impl IntoResponse {
///     (Extension(RequestCost(100)), "a list that takes long to make")
/// }
/// let app = App::new().with_http(Router::new().route("/report", get(report)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestCost(pub u32);
