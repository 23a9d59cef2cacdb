//! What a handler returns, and how it becomes the reply.

use std::error::Error;
use std::fmt;

use serde::Serialize;
use serde_json::json;
use switchboard_event::{AudienceError, NameError, Payload};
use switchboard_hub::JoinError;

use crate::send::EmitError;

/// What a handler or a middleware hands back: a reply, or none.
#[derive(Debug, Default)]
pub struct Response {
    pub(crate) reply: Option<Payload>,
    pub(crate) error: Option<ReplyError>,
}

impl Response {
    /// No reply: whoever asked runs into their own time-out.
    pub fn none() -> Self {
        Response::default()
    }

    /// What asks for an event that nothing handles: the original's exact words and shape, which its
    /// clients compare.
    pub(crate) fn unknown_event(shown: &str) -> Self {
        Reply(json!({ "error": format!("No handler for: {shown}") })).into_response()
    }

    /// Whether a handler or middleware refused or failed.
    pub fn is_error(&self) -> bool {
        self.error.is_some()
    }
}

/// A reply: `T` as JSON.
#[derive(Debug, Clone)]
pub struct Reply<T>(pub T);

/// A refusal: the peer gets `{"error":"<message>","code":"<code>"}` as its reply.
///
/// Any error turns into one with `?`. What the peer asked wrongly is said to it: a name or an
/// audience that cannot be is `bad_data`, a room too many `too_many`. Of everything else the code is
/// `internal`, the peer reads `internal error`, and what really happened goes to the log and the
/// `@error` hooks.
pub struct ReplyError {
    code: &'static str,
    message: String,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl ReplyError {
    /// A refusal with a stable code to switch on and a message for people.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        ReplyError { code, message: message.into(), cause: None }
    }

    /// The data did not have the shape that the handler asks for.
    pub fn bad_data(message: impl Into<String>) -> Self {
        ReplyError::new("bad_data", message)
    }

    /// The socket has no identity, or not the right one.
    pub fn unauthorized() -> Self {
        ReplyError::new("unauthorized", "unauthorized")
    }

    /// The stable code.
    pub fn code(&self) -> &str {
        self.code
    }

    /// What the peer reads.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What really happened, for the log: never sent to the peer.
    pub fn cause(&self) -> Option<&(dyn Error + Send + Sync)> {
        self.cause.as_deref()
    }
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Some(cause) => write!(f, "{}: {cause}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl fmt::Debug for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {self}", self.code)
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for ReplyError {
    fn from(error: E) -> Self {
        match peers_fault(&error) {
            Some(code) => ReplyError::new(code, error.to_string()),
            None => ReplyError {
                code: "internal",
                message: "internal error".into(),
                cause: Some(Box::new(error)),
            },
        }
    }
}

/// The code for an error of the framework that a peer's data leads to.
fn peers_fault(error: &(dyn Error + 'static)) -> Option<&'static str> {
    if error.is::<NameError>() || error.is::<AudienceError>() {
        return Some("bad_data");
    }
    match (error.downcast_ref(), error.downcast_ref()) {
        (Some(JoinError::Name(_)), _) | (_, Some(EmitError::Name(_) | EmitError::Audience(_))) => {
            Some("bad_data")
        }
        (Some(JoinError::TooMany { .. }), _) => Some("too_many"),
        _ => None,
    }
}

/// What a handler may return.
pub trait IntoResponse {
    /// Turns it into the reply.
    fn into_response(self) -> Response;
}

impl IntoResponse for Response {
    fn into_response(self) -> Response {
        self
    }
}

/// No reply.
impl IntoResponse for () {
    fn into_response(self) -> Response {
        Response::none()
    }
}

impl<T: Serialize> IntoResponse for Reply<T> {
    fn into_response(self) -> Response {
        match Payload::of(&self.0) {
            Ok(payload) => payload.into_response(),
            Err(error) => ReplyError::from(error).into_response(),
        }
    }
}

/// The JSON as it is.
impl IntoResponse for Payload {
    fn into_response(self) -> Response {
        Response { reply: Some(self), error: None }
    }
}

impl IntoResponse for serde_json::Value {
    fn into_response(self) -> Response {
        Reply(self).into_response()
    }
}

impl IntoResponse for ReplyError {
    fn into_response(self) -> Response {
        let reply = Payload::of(&json!({ "error": self.message, "code": self.code })).ok();
        Response { reply, error: Some(self) }
    }
}

impl<T: IntoResponse, E: Into<ReplyError>> IntoResponse for Result<T, E> {
    fn into_response(self) -> Response {
        match self {
            Ok(value) => value.into_response(),
            Err(error) => error.into().into_response(),
        }
    }
}
