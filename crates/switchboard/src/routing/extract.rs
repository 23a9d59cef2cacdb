//! Extractors: the types that a handler can take as arguments.

use std::future::Future;

use serde::de::DeserializeOwned;
use switchboard_event::{Payload, UserId};

use crate::api::app::App;
use crate::api::setup::Setup;
use crate::api::socket::Socket;
use crate::node::connection_info::ConnectionInfo;
use crate::routing::reply::ReplyError;
use crate::routing::request::Request;

/// A type that a handler can take as an argument. Implement it for values that several handlers need, or
/// [`AsyncFromRequest`] if the value has to be waited for.
///
/// ```
/// use switchboard::{FromRequest, ReplyError, Request};
///
/// struct Username(String);
///
/// impl FromRequest for Username {
///     fn from_request(request: &Request) -> Result<Self, ReplyError> {
///         request.get("username").map(Username).ok_or_else(ReplyError::unauthorized)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an extractor",
    label = "cannot be an argument of a handler",
    note = "to read the data of the event, write `Data<{Self}>`",
    note = "to read a value that was given to `App::with_state`, write `State<{Self}>`",
    note = "to make an extractor of `{Self}` itself, implement `FromRequest` or `AsyncFromRequest`"
)]
pub trait FromRequest: Sized {
    /// Extracts the value from the request. An error becomes the reply, and the handler is not called.
    fn from_request(request: &Request) -> Result<Self, ReplyError>;

    /// Checks that the app has the values that this extractor needs. Called when the app is served, which
    /// panics with the message of an error. By default returns `Ok`.
    ///
    /// ```
    /// use switchboard::{FromRequest, ReplyError, Request, Setup, State};
    ///
    /// # #[derive(Clone)] struct Rules { seats: usize }
    /// struct Seats(usize);
    ///
    /// impl FromRequest for Seats {
    ///     fn from_request(request: &Request) -> Result<Self, ReplyError> {
    ///         State::<Rules>::from_request(request).map(|State(rules)| Seats(rules.seats))
    ///     }
    ///     fn check(setup: &Setup) -> Result<(), String> {
    ///         State::<Rules>::check(setup)
    ///     }
    /// }
    /// ```
    fn check(_: &Setup) -> Result<(), String> {
        Ok(())
    }
}

/// A type that a handler can take as an argument, and that has to be waited for, such as a row of a database.
///
/// The handler is called when the value is there; meanwhile later events of the client are handled. Implement either
/// this trait or [`FromRequest`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use switchboard::{App, AsyncFromRequest, FromRequest, Reply, ReplyError, Request, State, User};
///
/// # #[derive(Clone)] struct Database;
/// # impl Database { async fn score_of(&self, _: &str) -> Option<u32> { tokio::task::yield_now().await; Some(12) } }
/// struct Score(u32);
///
/// impl AsyncFromRequest for Score {
///     async fn from_request(request: &Request) -> Result<Self, ReplyError> {
///         let State(database) = State::<Database>::from_request(request)?;
///         let User(id) = User::from_request(request)?;
///         let score = database.score_of(&id).await;
///         score.map(Score).ok_or_else(|| ReplyError::new("no_score", "you have not played yet"))
///     }
/// }
///
/// async fn score(Score(points): Score) -> Reply<u32> {
///     Reply(points)
/// }
/// let app = App::new().with_state(Database).on("/score", score);
/// # let app = app.on("@connection", async |socket: switchboard::Socket| { socket.login("ann").unwrap(); });
/// # let server = switchboard_testkit::TestServer::start(app).await;
/// # let mut peer = server.peer().await;
/// # assert_eq!(peer.request("/score", serde_json::json!({})).await, 12);
/// # }
/// ```
pub trait AsyncFromRequest: Sized {
    /// Extracts the value from the request. An error becomes the reply, and the handler is not called.
    fn from_request(request: &Request) -> impl Future<Output = Result<Self, ReplyError>> + Send;

    /// Checks that the app has the values that this extractor needs; see [`FromRequest::check`].
    fn check(_: &Setup) -> Result<(), String> {
        Ok(())
    }
}

/// An extractor that deserializes the event's data as `T`.
///
/// Data of an emit client that is falsy in JavaScript is `{}`, or else the value itself; see [`Request::data`].
/// If the data does not match, the reply is an error with the code `bad_data` that names the mismatch.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use serde::Deserialize;
/// use switchboard::{App, Data, Reply};
///
/// #[derive(Deserialize)]
/// struct Step {
///     x: i32,
///     y: i32,
/// }
/// async fn step(Data(Step { x, y }): Data<Step>) -> Reply<String> {
///     Reply(format!("moved to {x}, {y}"))
/// }
/// # let app = App::new().on("/step", step);
/// # let server = switchboard_testkit::TestServer::start(app).await;
/// # let mut peer = server.peer().await;
/// # assert_eq!(peer.request("/step", serde_json::json!({ "x": 3, "y": 4 })).await, "moved to 3, 4");
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Data<T>(pub T);

/// An extractor of a value that was added with [`App::with_state`].
///
/// Serving an app panics if a handler takes a state that the app does not have.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use switchboard::{App, Reply, State};
///
/// async fn motto(State(motto): State<&'static str>) -> Reply<&'static str> {
///     Reply(motto)
/// }
/// let app = App::new().with_state("be kind").on("/motto", motto);
/// # let server = switchboard_testkit::TestServer::start(app).await;
/// # let mut peer = server.peer().await;
/// # assert_eq!(peer.request("/motto", serde_json::json!({})).await, "be kind");
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct State<T>(pub T);

/// An extractor of the user that the socket is logged in as.
///
/// If the socket is not logged in, the reply is an error with the code `unauthorized`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use switchboard::{App, Reply, User};
///
/// async fn whoami(User(id): User) -> Reply<String> {
///     Reply(format!("you are {id}"))
/// }
/// let app = App::new()
///     .on("/whoami", whoami)
///     .on("/login", async |socket: switchboard::Socket| Reply(socket.login("ann").is_ok()));
/// # let server = switchboard_testkit::TestServer::start(app).await;
/// # let mut peer = server.peer().await;
/// # assert_eq!(peer.request("/whoami", serde_json::json!({})).await["code"], "unauthorized");
/// # assert_eq!(peer.request("/login", serde_json::json!({})).await, true);
/// # assert_eq!(peer.request("/whoami", serde_json::json!({})).await, "you are ann");
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct User(pub UserId);

impl FromRequest for Request {
    fn from_request(request: &Request) -> Result<Self, ReplyError> {
        Ok(request.clone())
    }
}

impl FromRequest for Socket {
    fn from_request(request: &Request) -> Result<Self, ReplyError> {
        Ok(request.socket().clone())
    }
}

impl FromRequest for App {
    fn from_request(request: &Request) -> Result<Self, ReplyError> {
        Ok(request.app().clone())
    }
}

/// The event's data as JSON, unparsed.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use switchboard::{App, Payload};
///
/// async fn echo(data: Payload) -> Payload {
///     data
/// }
/// # let app = App::new().on("/echo", echo);
/// # let server = switchboard_testkit::TestServer::start(app).await;
/// # let mut peer = server.peer().await;
/// # assert_eq!(peer.request("/echo", serde_json::json!([1, "two"])).await, serde_json::json!([1, "two"]));
/// # }
/// ```
impl FromRequest for Payload {
    fn from_request(request: &Request) -> Result<Self, ReplyError> {
        Ok(request.payload().clone())
    }
}

impl<T: DeserializeOwned> FromRequest for Data<T> {
    fn from_request(request: &Request) -> Result<Self, ReplyError> {
        request.data().map(Data).map_err(|error| ReplyError::bad_data(error.to_string()))
    }
}

impl<T: Clone + Send + Sync + 'static> FromRequest for State<T> {
    fn from_request(request: &Request) -> Result<Self, ReplyError> {
        request.app().state().map(State).ok_or_else(|| ReplyError::new("internal", "internal error"))
    }

    fn check(setup: &Setup) -> Result<(), String> {
        match setup.state::<T>() {
            Some(_) => Ok(()),
            None => Err(format!(
                "takes State<{}>, but the app has no such state; add it with `App::with_state`",
                std::any::type_name::<T>()
            )),
        }
    }
}

impl FromRequest for User {
    fn from_request(request: &Request) -> Result<Self, ReplyError> {
        request.socket().user().map(User).ok_or_else(ReplyError::unauthorized)
    }
}

/// `None` if extracting `T` fails.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use switchboard::{App, Reply, User};
///
/// async fn greet(user: Option<User>) -> Reply<String> {
///     Reply(match user {
///         Some(User(id)) => format!("welcome back, {id}"),
///         None => "welcome, guest".to_owned(),
///     })
/// }
/// # let app = App::new().on("/greet", greet);
/// # let server = switchboard_testkit::TestServer::start(app).await;
/// # let mut peer = server.peer().await;
/// # assert_eq!(peer.request("/greet", serde_json::json!({})).await, "welcome, guest");
/// # }
/// ```
impl<T: FromRequest> FromRequest for Option<T> {
    fn from_request(request: &Request) -> Result<Self, ReplyError> {
        Ok(T::from_request(request).ok())
    }

    fn check(setup: &Setup) -> Result<(), String> {
        T::check(setup)
    }
}

impl<T: AsyncFromRequest> AsyncFromRequest for Option<T> {
    async fn from_request(request: &Request) -> Result<Self, ReplyError> {
        Ok(T::from_request(request).await.ok())
    }

    fn check(setup: &Setup) -> Result<(), String> {
        T::check(setup)
    }
}

/// The error if extracting `T` fails; the handler is called in either case.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use switchboard::{App, Data, Reply, ReplyError};
///
/// async fn step(distance: Result<Data<u32>, ReplyError>) -> Reply<String> {
///     Reply(match distance {
///         Ok(Data(distance)) => format!("{distance} steps"),
///         Err(error) => format!("one step, because {error}"),
///     })
/// }
/// # let app = App::new().on("/step", step);
/// # let server = switchboard_testkit::TestServer::start(app).await;
/// # let mut peer = server.peer().await;
/// # assert_eq!(peer.request("/step", serde_json::json!(3)).await, "3 steps");
/// # let reply = peer.request("/step", serde_json::json!("far")).await;
/// # assert!(reply.as_str().unwrap().starts_with("one step, because invalid type"), "{reply}");
/// # }
/// ```
impl<T: FromRequest> FromRequest for Result<T, ReplyError> {
    fn from_request(request: &Request) -> Result<Self, ReplyError> {
        Ok(T::from_request(request))
    }

    fn check(setup: &Setup) -> Result<(), String> {
        T::check(setup)
    }
}

impl<T: AsyncFromRequest> AsyncFromRequest for Result<T, ReplyError> {
    async fn from_request(request: &Request) -> Result<Self, ReplyError> {
        Ok(T::from_request(request).await)
    }

    fn check(setup: &Setup) -> Result<(), String> {
        T::check(setup)
    }
}

impl FromRequest for ConnectionInfo {
    fn from_request(request: &Request) -> Result<Self, ReplyError> {
        Ok(request.info().clone())
    }
}
