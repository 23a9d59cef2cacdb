//! What a handler's arguments can be.

use std::ops::Deref;

use serde::de::DeserializeOwned;
use switchboard_event::{Name, Payload};

use crate::app::{App, Setup};
use crate::info::Info;
use crate::reply::ReplyError;
use crate::request::Request;
use crate::socket::Socket;

/// Something a handler can take as an argument. Implement it for what your handlers often need.
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
pub trait FromRequest: Sized {
    /// Takes it from the request; the error becomes the reply and the handler is not called.
    fn from_request(request: &Request) -> Result<Self, ReplyError>;

    /// What the app lacks for this to work, said before the first event.
    fn check(_: &Setup) -> Result<(), String> {
        Ok(())
    }
}

/// The data in the shape of `T`. Another shape is refused with the code `bad_data` and where it
/// differs.
#[derive(Debug, Clone)]
pub struct Data<T>(pub T);

/// A value given to the app with [`App::with_state`].
#[derive(Debug, Clone)]
pub struct State<T>(pub T);

/// The user the socket belongs to; `unauthorized` for those without.
#[derive(Debug, Clone)]
pub struct User(pub Name);

/// What is known of the connection; derefs to [`Info`].
#[derive(Debug, Clone)]
pub struct ConnectionInfo(Socket);

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

/// The data as the JSON it came in.
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
            None => Err(format!("takes State<{}>, which the app was not given", std::any::type_name::<T>())),
        }
    }
}

impl FromRequest for User {
    fn from_request(request: &Request) -> Result<Self, ReplyError> {
        request.socket().user().map(User).ok_or_else(ReplyError::unauthorized)
    }
}

/// `None` where the argument alone would be refused.
impl<T: FromRequest> FromRequest for Option<T> {
    fn from_request(request: &Request) -> Result<Self, ReplyError> {
        Ok(T::from_request(request).ok())
    }

    fn check(setup: &Setup) -> Result<(), String> {
        T::check(setup)
    }
}

impl FromRequest for ConnectionInfo {
    fn from_request(request: &Request) -> Result<Self, ReplyError> {
        Ok(ConnectionInfo(request.socket().clone()))
    }
}

impl Deref for ConnectionInfo {
    type Target = Info;

    fn deref(&self) -> &Info {
        self.0.info()
    }
}
