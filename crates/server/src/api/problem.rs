//! Error responses.

use std::collections::BTreeMap;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::openapi::{self, ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

/// Why a request was not performed.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Problem {
    #[serde(skip)]
    status: StatusCode,
    /// A constant for programs.
    #[schema(value_type = String, example = "invalid")]
    code: &'static str,
    /// The reason, for people.
    #[schema(example = "to.users[0]: invalid type: integer `7`, expected a string")]
    error: String,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, error: impl Into<String>) -> Self {
        Problem { status, code, error: error.into() }
    }

    pub(super) fn invalid(error: impl Into<String>) -> Self {
        Problem::new(StatusCode::BAD_REQUEST, "invalid", error)
    }

    pub(super) fn no_key() -> Self {
        let error = "a key of api.keys is required: Authorization: Bearer <key>";
        Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", error)
    }

    pub(super) fn too_large() -> Self {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the body exceeds api.body_bytes_max")
    }

    pub(super) fn too_many() -> Self {
        let error = "this key exceeds api.requests_per_second";
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many", error)
    }

    pub(super) fn in_progress() -> Self {
        let error = "a request with this Idempotency-Key is in progress";
        Problem::new(StatusCode::CONFLICT, "in_progress", error)
    }

    pub(super) fn body_mismatch() -> Self {
        let error = "this Idempotency-Key was used with another body or endpoint";
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "body_mismatch", error)
    }

    pub(super) fn unknown() -> Self {
        let error = "the request may have been performed or not";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unknown", error)
    }

    pub(super) fn not_stored() -> Self {
        let error = "the message may have been stored or not";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_stored", error)
    }
}

/// The error responses of every endpoint, for the description.
impl IntoResponses for Problem {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        let problem = || ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let response = |(status, why): (StatusCode, &str)| {
            let response = ResponseBuilder::new().description(why).content("application/json", problem());
            (status.as_str().to_owned(), response.build().into())
        };
        [
            (StatusCode::BAD_REQUEST, "The request is invalid; the error names the field"),
            (StatusCode::UNAUTHORIZED, "The key is missing or unknown"),
            (StatusCode::CONFLICT, "The same request is in progress, on this node or another"),
            (StatusCode::PAYLOAD_TOO_LARGE, "The body is too large"),
            (StatusCode::UNPROCESSABLE_ENTITY, "The Idempotency-Key was used with another body or endpoint"),
            (StatusCode::TOO_MANY_REQUESTS, "Too many requests with this key"),
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "The request may have been performed, or the message stored, or not",
            ),
        ]
        .map(response)
        .into()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_string(&self).expect("strings are JSON");
        let mut response = (self.status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
        let headers = response.headers_mut();
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::CONFLICT | StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}
