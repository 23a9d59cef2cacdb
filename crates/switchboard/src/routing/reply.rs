//! What a handler returns, and how it becomes the reply.

use std::error::Error;
use std::fmt;

use serde::Serialize;
use serde_json::json;
use switchboard_event::{AudienceError, NameError, Payload};
use switchboard_hub::JoinError;

use crate::node::errors::{CommandError, EmitError, MembershipError};

/// What a handler or a middleware hands back: a reply, or none.
///
/// ```
/// # use switchboard::{IntoResponse, Next, Reply, Request, Response};
/// async fn only_chat(request: Request, next: Next) -> Response {
///     match request.event().starts_with("/chat/") {
///         true => next.run(request).await,
///         false => Reply("there is only a chat here").into_response(),
///     }
/// }
/// ```
#[derive(Debug, Default)]
pub struct Response {
    pub(crate) reply: Option<Payload>,
    pub(crate) error: Option<ReplyError>,
}

impl Response {
    /// No reply: whoever asked runs into their own time-out.
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

    /// What asks for an event that nothing handles: the original's exact words and shape, which its
    /// clients compare.
    pub(crate) fn unknown_event(shown: &str) -> Self {
        Reply(json!({ "error": format!("No handler for: {shown}") })).into_response()
    }

    /// Whether a handler or middleware refused or failed.
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

/// A reply: `T` as JSON.
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

/// A refusal: the peer gets `{"error":"<message>","code":"<code>"}` as its reply.
///
/// Any error turns into one with `?`. What the peer asked wrongly is said to it: a name or an
/// audience that cannot be is `bad_data`, a room too many `too_many`. Of everything else the code is
/// `internal`, the peer reads `internal error`, and what really happened goes to the log and the
/// `@error` hooks.
///
/// Errors of your own that the peer shall read say their codes. Such a type is no [`Error`], or it
/// would be `internal`:
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
    code: &'static str,
    message: String,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl ReplyError {
    /// A refusal with a stable code to switch on and a message for people.
    ///
    /// ```
    /// # use switchboard::ReplyError;
    /// let refusal = ReplyError::new("game_full", "the game is full");
    /// assert_eq!((refusal.code(), refusal.message()), ("game_full", "the game is full"));
    /// ```
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        ReplyError { code, message: message.into(), cause: None }
    }

    /// The data did not have the shape that the handler asks for.
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

    /// The socket has no identity, or not the right one.
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
        self.code
    }

    /// What the peer reads.
    ///
    /// ```
    /// # use switchboard::ReplyError;
    /// let error = ReplyError::from(std::io::Error::other("the disk is full"));
    /// assert_eq!(error.message(), "internal error");
    /// ```
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What really happened, for the log: never sent to the peer.
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
    if let Some(MembershipError::Join(inner)) = error.downcast_ref() {
        return peers_fault(inner);
    }
    match (error.downcast_ref(), error.downcast_ref()) {
        (Some(JoinError::Name(_)), _) | (_, Some(EmitError::Name(_) | EmitError::Audience(_))) => {
            Some("bad_data")
        }
        (Some(JoinError::TooMany { .. }), _) => Some("too_many"),
        _ => matches!(error.downcast_ref(), Some(CommandError::Audience(_))).then_some("bad_data"),
    }
}

/// What a handler may return.
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
