//! Error responses: problems in the form of RFC 9457.

use std::fmt::Write;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};
use switchboard::QueryError;
use utoipa::ToSchema;

/// The path of the page that describes all kinds. The type of a problem is this path, `#` and the code.
pub(super) const PATH: &str = "/api/v1/problems";

/// Media type of a problem.
pub(super) const CONTENT_TYPE: &str = "application/problem+json";

/// A kind of problem.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// The end of its type, a constant for programs.
    pub(super) code: &'static str,
    pub(super) status: StatusCode,
    pub(super) title: &'static str,
    /// What the caller can do.
    remedy: &'static str,
    /// In how many seconds the request may succeed, if it may.
    retry_after: Option<&'static str>,
}

/// Defines all kinds, as constants and as a list.
macro_rules! kinds {
    ($($name:ident $code:literal $status:ident $retry:expr, $title:literal, $remedy:literal;)*) => {
        $(const $name: Kind = Kind {
            code: $code, status: StatusCode::$status, title: $title, remedy: $remedy, retry_after: $retry,
        };)*

        /// All kinds of problems.
        pub(super) const KINDS: &[Kind] = &[$($name),*];
    };
}

kinds! {
    INVALID "invalid" BAD_REQUEST None, "The request is invalid", "Correct the member that `field` names; `detail` has the reason.";
    INVALID_SETTINGS "invalid_settings" BAD_REQUEST None, "The settings are invalid", "Correct the setting that `detail` names; the previous settings are in effect.";
    UNAUTHORIZED "unauthorized" UNAUTHORIZED None, "The key is missing or unknown", "Send `Authorization: Bearer <key>` with a key of `api.keys` or `api.named_keys`.";
    EXPIRED "expired" UNAUTHORIZED None, "The key has expired", "Use another key, or change `expires_at` of this one.";
    FORBIDDEN "forbidden" FORBIDDEN None, "The key may not do this", "Use a key with the scope and the project that `detail` names.";
    NOT_FOUND "not_found" NOT_FOUND None, "There is no such endpoint", "Compare the path with `/api/v1/openapi.json`.";
    METHOD_NOT_ALLOWED "method_not_allowed" METHOD_NOT_ALLOWED None, "The endpoint has another method", "Use a method of the header `Allow`.";
    IN_PROGRESS "in_progress" CONFLICT Some("1"), "The same request is in progress", "Repeat the request later, on any node.";
    TOO_LARGE "too_large" PAYLOAD_TOO_LARGE None, "The body is too large", "Send less, or raise `api.body_bytes_max`.";
    BODY_MISMATCH "body_mismatch" UNPROCESSABLE_ENTITY None, "The Idempotency-Key was used for another request", "Use a new `Idempotency-Key` for each request.";
    TOO_MANY "too_many" TOO_MANY_REQUESTS Some("1"), "Too many requests with this key", "Repeat the request later, or raise `api.requests_per_second`.";
    FULL "full" INSUFFICIENT_STORAGE None, "The server remembers its most revocations", "Raise `limits.revocations_max`, or name an earlier `expires` in later calls.";
    RESULT_TOO_LARGE "result_too_large" INSUFFICIENT_STORAGE None, "The results of the batch are too large", "Repeat the call alone, or with fewer others; a call that changes something was performed.";
    UNKNOWN "unknown" SERVICE_UNAVAILABLE Some("1"), "The request may have been performed or not", "Repeat it with the same `Idempotency-Key`.";
    NOT_STORED "not_stored" SERVICE_UNAVAILABLE Some("1"), "The message may have been stored or not", "Repeat it with the same `Idempotency-Key`.";
    UNAVAILABLE "unavailable" SERVICE_UNAVAILABLE Some("1"), "Redis or another node does not answer", "Repeat the request later.";
}

/// Why a request was not performed, in the form of RFC 9457.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    kind: &'static Kind,
    detail: String,
    field: Option<String>,
}

/// The form of a problem, for the description.
#[derive(ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "the description needs the form only")]
pub(super) struct ProblemSchema {
    /// The kind: `/api/v1/problems#` and the code.
    #[schema(example = "/api/v1/problems#invalid")]
    r#type: String,
    /// The kind, in words.
    #[schema(example = "The request is invalid")]
    title: String,
    /// The status of the response.
    #[schema(example = 400)]
    status: u16,
    /// The reason, for people.
    #[schema(example = "to.users[0]: invalid type: integer `7`, expected a string")]
    detail: String,
    /// The end of the type, a constant for programs.
    #[schema(example = "invalid")]
    code: String,
    /// The member of the body, or the parameter, that is invalid.
    #[schema(example = "to.users[0]", nullable = false)]
    field: Option<String>,
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Kind { code, status, title, .. } = self.kind;
        let mut members = serializer.serialize_struct("Problem", 5 + usize::from(self.field.is_some()))?;
        members.serialize_field("type", &format_args!("{PATH}#{code}"))?;
        members.serialize_field("title", title)?;
        members.serialize_field("status", &status.as_u16())?;
        members.serialize_field("detail", &self.detail)?;
        members.serialize_field("code", code)?;
        if let Some(field) = &self.field {
            members.serialize_field("field", field)?;
        }
        members.end()
    }
}

impl Problem {
    fn new(kind: &'static Kind, detail: impl Into<String>) -> Self {
        Problem { kind, detail: detail.into(), field: None }
    }

    /// An invalid request as a whole.
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Problem::new(&INVALID, detail)
    }

    /// An invalid member of the body, or parameter.
    pub(super) fn invalid_field(field: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        let field = field.into();
        Problem { detail: format!("{field}: {reason}"), field: Some(field), kind: &INVALID }
    }

    pub(super) fn invalid_settings(error: impl Into<String>) -> Self {
        Problem::new(&INVALID_SETTINGS, error)
    }

    pub(super) fn no_key() -> Self {
        let detail = "a key of api.keys or api.named_keys is required: Authorization: Bearer <key>";
        Problem::new(&UNAUTHORIZED, detail)
    }

    pub(crate) fn no_session() -> Self {
        Problem::new(
            &UNAUTHORIZED,
            "the console has no session for this browser: sign in with a key of the API",
        )
    }

    pub(super) fn expired() -> Self {
        Problem::new(&EXPIRED, "this key has expired")
    }

    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Problem::new(&FORBIDDEN, detail)
    }

    pub(super) fn no_endpoint() -> Self {
        Problem::new(&NOT_FOUND, "there is no endpoint at this path")
    }

    pub(super) fn method_not_allowed() -> Self {
        Problem::new(&METHOD_NOT_ALLOWED, "the endpoint at this path has another method")
    }

    pub(super) fn too_large() -> Self {
        Problem::new(&TOO_LARGE, "the body exceeds api.body_bytes_max")
    }

    pub(super) fn too_many() -> Self {
        Problem::new(&TOO_MANY, "this key exceeds api.requests_per_second")
    }

    pub(super) fn in_progress() -> Self {
        Problem::new(&IN_PROGRESS, "a request with this Idempotency-Key is in progress")
    }

    pub(super) fn body_mismatch() -> Self {
        Problem::new(&BODY_MISMATCH, "this Idempotency-Key was used with another body or endpoint")
    }

    pub(super) fn full(detail: impl Into<String>) -> Self {
        Problem::new(&FULL, detail)
    }

    pub(super) fn unknown() -> Self {
        Problem::new(&UNKNOWN, "the request may have been performed or not")
    }

    pub(super) fn not_stored() -> Self {
        Problem::new(&NOT_STORED, "the message may have been stored or not")
    }

    pub(super) fn unavailable() -> Self {
        Problem::new(&UNAVAILABLE, "Redis does not answer; the request was not performed")
    }

    pub(super) fn result_too_large(bytes_max: usize) -> Self {
        Problem::new(&RESULT_TOO_LARGE, format!("the results of a batch have at most {bytes_max} bytes"))
    }

    /// The constant for programs.
    pub(crate) fn code(&self) -> &'static str {
        self.kind.code
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.kind.status
    }
}

/// Why a query has no answer.
pub(super) fn query(error: QueryError) -> Problem {
    match error {
        QueryError::Name(error) => Problem::invalid(error.to_string()),
        _ => Problem::unavailable(),
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_string(&self).expect("strings are JSON");
        let mut response = (self.kind.status, [(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response();
        let headers = response.headers_mut();
        if self.kind.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.kind.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        response
    }
}

/// The description of all kinds, in Markdown.
pub(super) fn reference() -> String {
    let mut text = "# Problems of the HTTP API\n\nA request that is not performed is answered with a problem in the form of RFC 9457 \
                    (`application/problem+json`): `type`, `title`, `status` and `detail`, and also `code`, which is the end of the type, \
                    and `field`, which names the invalid member of the body or the invalid parameter. Types and codes do not change; \
                    titles and details may.\n"
        .to_owned();
    for Kind { code, status, title, remedy, retry_after } in KINDS {
        let status = status.as_u16();
        let retry = retry_after.map(|_| " The response has the header `Retry-After`.").unwrap_or_default();
        write!(text, "\n## {code}\n\nStatus {status}. {title}. {remedy}{retry}\n")
            .expect("a String accepts all text");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::METRICS;

    #[test]
    fn the_generated_problems_are_current() {
        let note =
            "<!-- Generated from the kinds of problems by a test; see CONTRIBUTING.md. Do not edit. -->\n\n";
        switchboard_testkit::generated::assert_current(
            "docs/reference/problems.md",
            &(note.to_owned() + &reference()),
        );
    }

    #[test]
    fn the_metric_of_requests_has_every_code_that_an_endpoint_answers() {
        let codes = KINDS.iter().map(|kind| kind.code);
        // A result that is too large is one of a batch, which is answered itself.
        let others = ["not_found", "method_not_allowed", "result_too_large"];
        let of_endpoints = codes.filter(|code| !others.contains(code));
        let metric = METRICS.iter().find(|metric| metric.name == "switchboard_api_requests_total");
        let outcomes = metric.expect("it is in the catalog").labels[0].values;
        assert_eq!(["ok"].into_iter().chain(of_endpoints).collect::<Vec<_>>(), outcomes);
    }

    #[test]
    fn a_problem_has_the_members_of_rfc_9457() {
        let problem = serde_json::to_value(Problem::invalid_field("to.users[0]", "too long")).unwrap();
        let expected = serde_json::json!({
            "type": "/api/v1/problems#invalid", "title": "The request is invalid", "status": 400,
            "detail": "to.users[0]: too long", "code": "invalid", "field": "to.users[0]",
        });
        assert_eq!(problem, expected);
    }
}
