//! Responses: the types that a handler can return, and their conversion to a reply.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use serde::Serialize;
use serde_json::json;
use switchboard_event::{AudienceError, NameError, Payload};
use switchboard_hub::JoinError;

use crate::node::errors::{CommandError, EmitError, Forbidden, MembershipError, RateLimited, RequestError};
use crate::node::history::HistoryError;
use crate::node::verifier::IdentifyError;

/// The code of an event without a handler, for middleware, hooks and the log.
const NO_HANDLER: &str = "no_handler";

/// The response of a handler or middleware: a reply, an error that is sent as a reply, or none.
///
/// ```
/// # use switchboard::{IntoResponse, Next, Reply, Request, Response};
/// async fn only_chat(request: Request, next: Next) -> Response {
///     match request.event().starts_with("/chat/") {
///         true => next.run(request).await,
///         false => Reply("only /chat/ events are supported").into_response(),
///     }
/// }
/// ```
#[derive(Debug, Default)]
pub struct Response {
    pub(crate) answer: Answer,
    pub(crate) error: Option<ReplyError>,
}

/// What a response sends to a client that requested a reply.
#[derive(Debug, Default)]
pub(crate) enum Answer {
    #[default]
    None,
    /// The handler is done and has no value: `null`, unless it has replied with [`Request::reply`].
    ///
    /// [`Request::reply`]: crate::Request::reply
    Done,
    Value(Payload),
}

impl Response {
    /// A response without a reply; a client that sent a request runs into its time-out. A handler returns
    /// [`NoReply`] for it.
    ///
    /// ```
    /// # use switchboard::{Next, Request, Response};
    /// async fn drop_muted(request: Request, next: Next) -> Response {
    ///     match request.get::<bool>("muted") {
    ///         Some(true) => Response::none(),
    ///         _ => next.run(request).await,
    ///     }
    /// }
    /// ```
    pub fn none() -> Self {
        Response::default()
    }

    /// The reply to an event that has no handler, worded exactly as by emit.gg: its clients compare it.
    pub(crate) fn unknown_event(shown: &str) -> Self {
        let message = format!("No handler for: {shown}");
        let response = Reply(json!({ "error": message })).into_response();
        Response { error: Some(ReplyError::new(NO_HANDLER, message)), ..response }
    }

    /// Returns true if the response is an error.
    ///
    /// ```
    /// # use switchboard::{Next, Request, Response};
    /// async fn log_refusals(request: Request, next: Next) -> Response {
    ///     let event = request.event().to_owned();
    ///     let response = next.run(request).await;
    ///     if response.is_error() {
    ///         println!("{event} was refused");
    ///     }
    ///     response
    /// }
    /// ```
    pub fn is_error(&self) -> bool {
        self.error.is_some()
    }
}

/// A reply that serializes `T` as JSON.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use serde::Serialize;
/// use switchboard::{App, Reply};
///
/// #[derive(Serialize)]
/// struct Score {
///     points: u32,
/// }
/// async fn score() -> Reply<Score> {
///     Reply(Score { points: 12 })
/// }
/// # let app = App::new().on("/score", score);
/// # let server = switchboard_testkit::TestServer::start(app).await;
/// # let mut peer = server.peer().await;
/// # assert_eq!(peer.request("/score", serde_json::json!({})).await, serde_json::json!({ "points": 12 }));
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Reply<T>(pub T);

/// A return value that sends no reply: a client that requested one runs into its time-out.
///
/// For a handler that never replies, or whose reply is sent later, by [`Request::reply`](crate::Request::reply) in a
/// task of its own. A handler that returns `()` replies `null`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use switchboard::{App, NoReply, Reply, Request};
///
/// async fn later(request: Request) -> NoReply {
///     tokio::spawn(async move { request.reply("computed in the background") });
///     NoReply
/// }
/// let app = App::new().on("/later", later);
/// # let server = switchboard_testkit::TestServer::start(app).await;
/// # let mut peer = server.peer().await;
/// # assert_eq!(peer.request("/later", serde_json::json!({})).await, "computed in the background");
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NoReply;

/// An error reply: the client receives `{"error":"<message>","code":"<code>"}`.
///
/// `?` converts every [`Error`]. An invalid name or audience becomes `bad_data`, a join above the limit
/// of memberships becomes `too_many`, and a request to another client that has not replied becomes `timeout` or `closed`. Every other error becomes `internal` with the message
/// `internal error`; the error itself is logged and passed to the `@error` hooks.
///
/// To send your own code and message to the client, convert your error type as below. The type must not
/// implement [`Error`], because every [`Error`] is converted as above:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use switchboard::{App, Data, Reply, ReplyError};
///
/// enum Refusal {
///     GameFull,
///     NotYourTurn,
/// }
/// impl From<Refusal> for ReplyError {
///     fn from(refusal: Refusal) -> Self {
///         match refusal {
///             Refusal::GameFull => ReplyError::new("game_full", "the game is full"),
///             Refusal::NotYourTurn => ReplyError::new("not_your_turn", "wait for your turn"),
///         }
///     }
/// }
/// async fn sit(Data(seat): Data<usize>) -> Result<Reply<usize>, Refusal> {
///     if seat < 4 { Ok(Reply(seat)) } else { Err(Refusal::GameFull) }
/// }
/// # let app = App::new().on("/sit", sit);
/// # let server = switchboard_testkit::TestServer::start(app).await;
/// # let mut peer = server.peer().await;
/// # assert_eq!(peer.request("/sit", serde_json::json!(7)).await["code"], "game_full");
/// # }
/// ```
pub struct ReplyError {
    code: Cow<'static, str>,
    message: String,
    cause: Option<Box<dyn Error + Send + Sync>>,
    /// Time until a repetition may succeed.
    retry_after_ms: Option<u64>,
}

impl ReplyError {
    /// Creates an error with a stable code for programs and a message for people.
    ///
    /// ```
    /// # use switchboard::ReplyError;
    /// let refusal = ReplyError::new("game_full", "the game is full");
    /// assert_eq!((refusal.code(), refusal.message()), ("game_full", "the game is full"));
    /// ```
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        ReplyError { code: code.into(), message: message.into(), cause: None, retry_after_ms: None }
    }

    /// An error with the code `rate_limited`, and `retry_after_ms` beside it: the client does this too often.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use switchboard::{RateLimited, ReplyError};
    /// let refusal = ReplyError::rate_limited(RateLimited { retry_after: Duration::from_millis(250) });
    /// assert_eq!(refusal.code(), "rate_limited");
    /// ```
    pub fn rate_limited(limited: RateLimited) -> Self {
        let retry_after_ms = Some(limited.retry_after_ms());
        ReplyError { retry_after_ms, ..ReplyError::new("rate_limited", limited.to_string()) }
    }

    /// An error with the code `bad_data`: the event's data is invalid.
    ///
    /// ```
    /// # use switchboard::ReplyError;
    /// fn on_the_board(x: u8) -> Result<u8, ReplyError> {
    ///     if x < 8 { Ok(x) } else { Err(ReplyError::bad_data("x is 0 to 7")) }
    /// }
    /// assert_eq!(on_the_board(8).unwrap_err().code(), "bad_data");
    /// ```
    pub fn bad_data(message: impl Into<String>) -> Self {
        ReplyError::new("bad_data", message)
    }

    /// An error that the client cannot help: it receives `internal error`, and the log and the `@error` hooks the cause. Errors that
    /// implement [`Error`] convert with `?`; this is for others, such as `anyhow::Error` and boxed ones.
    ///
    /// ```
    /// # use std::error::Error;
    /// use switchboard::ReplyError;
    ///
    /// fn load() -> Result<String, Box<dyn Error + Send + Sync>> {
    ///     Err("the disk is full".into())
    /// }
    ///
    /// let error = load().map_err(ReplyError::internal).unwrap_err();
    /// assert_eq!((error.code(), error.message()), ("internal", "internal error"));
    /// assert_eq!(error.cause().unwrap().to_string(), "the disk is full");
    /// ```
    pub fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        ReplyError {
            code: Cow::Borrowed("internal"),
            message: "internal error".into(),
            cause: Some(cause.into()),
            retry_after_ms: None,
        }
    }

    /// An error with the code `unauthorized`: the socket is not logged in or lacks permission.
    ///
    /// ```
    /// # use switchboard::{ReplyError, Socket};
    /// fn admin_only(socket: &Socket) -> Result<(), ReplyError> {
    ///     let is_admin = socket.tags().iter().any(|tag| *tag == "*admin");
    ///     if is_admin { Ok(()) } else { Err(ReplyError::unauthorized()) }
    /// }
    /// ```
    pub fn unauthorized() -> Self {
        ReplyError::new("unauthorized", "unauthorized")
    }

    /// The stable code.
    ///
    /// ```
    /// # use switchboard::ReplyError;
    /// assert_eq!(ReplyError::unauthorized().code(), "unauthorized");
    /// ```
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The message that the client receives.
    ///
    /// ```
    /// # use switchboard::ReplyError;
    /// let error = ReplyError::from(std::io::Error::other("the disk is full"));
    /// assert_eq!(error.message(), "internal error");
    /// ```
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Time until a repetition may succeed, for `rate_limited`.
    pub(crate) fn retry_after_ms(&self) -> Option<u64> {
        self.retry_after_ms
    }

    /// The error that caused this one. It is logged and never sent to the client.
    ///
    /// ```
    /// # use switchboard::ReplyError;
    /// let error = ReplyError::from(std::io::Error::other("the disk is full"));
    /// assert_eq!(error.cause().unwrap().to_string(), "the disk is full");
    /// ```
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
        if let Some(limited) = rate_limited(&error) {
            return ReplyError::rate_limited(limited);
        }
        match client_error_code(&error) {
            Some(code) => ReplyError::new(code, error.to_string()),
            None => ReplyError::internal(error),
        }
    }
}

/// The exceeded rate rule that an error of the framework is about.
fn rate_limited(error: &(dyn Error + 'static)) -> Option<RateLimited> {
    match (error.downcast_ref(), error.downcast_ref()) {
        (Some(MembershipError::RateLimited(limited)), _) | (_, Some(IdentifyError::RateLimited(limited))) => {
            Some(*limited)
        }
        _ => error.downcast_ref().copied(),
    }
}

/// The code of an error of the framework that a client's data causes; `None` for other errors.
fn client_error_code(error: &(dyn Error + 'static)) -> Option<&'static str> {
    if error.is::<NameError>() || error.is::<AudienceError>() {
        return Some("bad_data");
    }
    if let Some(MembershipError::Join(inner)) = error.downcast_ref() {
        return client_error_code(inner);
    }
    match error.downcast_ref() {
        Some(RequestError::Timeout(_)) => return Some("timeout"),
        Some(RequestError::Closed) => return Some("closed"),
        _ => {}
    }
    match error.downcast_ref() {
        Some(HistoryError::Name(_)) => return Some("bad_data"),
        Some(HistoryError::NoHistory(_)) => return Some("no_history"),
        Some(HistoryError::Forbidden(_)) => return Some("forbidden"),
        _ => {}
    }
    let is_forbidden = error.is::<Forbidden>()
        || matches!(error.downcast_ref(), Some(MembershipError::Forbidden(_)))
        || matches!(error.downcast_ref(), Some(EmitError::Forbidden(_)));
    if is_forbidden {
        return Some("forbidden");
    }
    match (error.downcast_ref(), error.downcast_ref()) {
        (Some(JoinError::Name(_)), _)
        | (_, Some(EmitError::Name(_) | EmitError::Reserved(_) | EmitError::Audience(_))) => Some("bad_data"),
        (Some(JoinError::TooMany { .. } | JoinError::TooManyBytes { .. }), _) => Some("too_many"),
        _ => matches!(error.downcast_ref(), Some(CommandError::Audience(_))).then_some("bad_data"),
    }
}

/// A type that a handler can return.
///
/// | type | reply |
/// |---|---|
/// | [`Reply<T>`](Reply), `serde_json::Value`, [`Payload`](crate::Payload) | the value as JSON |
/// | `()` | `null`, unless the handler has called [`Request::reply`](crate::Request::reply) |
/// | [`NoReply`] | none |
/// | [`ReplyError`] | `{"error":…,"code":…}` |
/// | `Result<T, E>` | the reply of `T`, or of `E` converted to a [`ReplyError`] |
/// | [`Response`] | the reply in it |
///
/// ```
/// use switchboard::{IntoResponse, Reply, ReplyError, Response};
///
/// enum Move {
///     Done(u32),
///     TooLate,
/// }
/// impl IntoResponse for Move {
///     fn into_response(self) -> Response {
///         match self {
///             Move::Done(turn) => Reply(turn).into_response(),
///             Move::TooLate => ReplyError::new("too_late", "the game is over").into_response(),
///         }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a reply",
    label = "a handler cannot return this",
    note = "wrap a value that implements `serde::Serialize` in `Reply`: `Reply(value)`",
    note = "other replies: `()` (replies `null`), `NoReply`, `Response`, `Payload`, `serde_json::Value`, `ReplyError`, and `Result<T, E>` if `T` is a reply and `E` converts into `ReplyError`"
)]
pub trait IntoResponse {
    /// Converts the value into a response.
    fn into_response(self) -> Response;
}

impl IntoResponse for Response {
    fn into_response(self) -> Response {
        self
    }
}

/// `null`, unless the handler has replied with [`Request::reply`](crate::Request::reply).
impl IntoResponse for () {
    fn into_response(self) -> Response {
        Response { answer: Answer::Done, error: None }
    }
}

impl IntoResponse for NoReply {
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

/// A reply with this JSON.
impl IntoResponse for Payload {
    fn into_response(self) -> Response {
        Response { answer: Answer::Value(self), error: None }
    }
}

impl IntoResponse for serde_json::Value {
    fn into_response(self) -> Response {
        Reply(self).into_response()
    }
}

impl IntoResponse for ReplyError {
    fn into_response(self) -> Response {
        let mut reply = json!({ "error": self.message, "code": self.code });
        if let Some(ms) = self.retry_after_ms {
            reply["retry_after_ms"] = ms.into();
        }
        let reply = Payload::of(&reply);
        Response { answer: reply.map_or(Answer::None, Answer::Value), error: Some(self) }
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
