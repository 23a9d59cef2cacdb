//! `/console/session`: opens a session with a key, describes it, and ends it.

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::{AppendHeaders, IntoResponse, Response};
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use switchboard_log::{limited, printable};

use super::sessions::Session;
use super::state::Listener;
use super::{cookie, origin};
use crate::api::{AdmittedKey, Problem};
use crate::config::ApiScope;

/// A request to open a session.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignIn {
    key: String,
}

/// A session, for the pages.
#[derive(Serialize)]
struct SessionState<'a> {
    /// The name of the key in the settings.
    key: &'a str,
    scopes: Vec<&'static str>,
    /// The projects of the key; none if it is valid for all.
    projects: Option<Vec<String>>,
    seconds_left: u64,
    node: String,
    version: &'static str,
}

/// Opens a session with a key that may read or manage.
pub(super) async fn open(State(listener): State<Listener>, request: Request) -> Response {
    match try_open(&listener, request).await {
        Ok(response) => response,
        Err(problem) => {
            limited!(WARN, reason = printable(problem.code()), "sign-in to the console refused");
            problem.into_response()
        }
    }
}

async fn try_open(listener: &Listener, request: Request) -> Result<Response, Problem> {
    if !origin::is_of_a_page(&request) {
        return Err(Problem::forbidden("only pages of the console can open a session"));
    }
    let body = read(request).await?;
    let SignIn { key } =
        serde_json::from_slice(&body).map_err(|error| Problem::invalid(error.to_string()))?;
    let console = &listener.console;
    let (digest, admitted) = console.keys.sign_in(key.trim().as_bytes())?;
    if !admitted.has(ApiScope::Read) && !admitted.has(ApiScope::Manage) {
        return Err(Problem::forbidden("the console needs a key with the scope read or manage"));
    }
    let (token, session) = console.sessions.open(digest);
    limited!(INFO, key = printable(admitted.name()), "signed in to the console");
    let cookie = cookie::set(console.node, &token, session.seconds_left(), listener.is_secure);
    Ok((AppendHeaders([(header::SET_COOKIE, cookie)]), listener.describe(&admitted, &session))
        .into_response())
}

async fn read(request: Request) -> Result<Bytes, Problem> {
    use axum::extract::FromRequest;
    Bytes::from_request(request, &()).await.map_err(|_| Problem::invalid("expected a key of the HTTP API"))
}

/// Describes the session of a request.
pub(super) async fn state(State(listener): State<Listener>, request: Request) -> Response {
    if !origin::is_of_a_page(&request) {
        return Problem::no_session().into_response();
    }
    match listener.console.admitted(&request) {
        Ok((key, session)) => listener.describe(&key, &session),
        Err(problem) => problem.into_response(),
    }
}

/// Ends the session of a request.
pub(super) async fn end(State(listener): State<Listener>, request: Request) -> Response {
    if !origin::is_of_a_page(&request) {
        return Problem::no_session().into_response();
    }
    let console = &listener.console;
    if let Some(token) = cookie::read(request.headers(), console.node) {
        console.sessions.end(token);
    }
    let cookie = cookie::set(console.node, "", 0, listener.is_secure);
    (StatusCode::NO_CONTENT, AppendHeaders([(header::SET_COOKIE, cookie)])).into_response()
}

impl Listener {
    fn describe(&self, key: &AdmittedKey, session: &Session) -> Response {
        let state = SessionState {
            key: key.name(),
            scopes: key.scopes(),
            projects: key.projects(),
            seconds_left: session.seconds_left(),
            node: self.console.node.to_string(),
            version: env!("CARGO_PKG_VERSION"),
        };
        let json = serde_json::to_vec(&state).expect("texts and numbers are JSON");
        let headers = [(header::CACHE_CONTROL, "no-store"), (header::CONTENT_TYPE, "application/json")];
        (headers, json).into_response()
    }
}
