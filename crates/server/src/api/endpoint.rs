//! What an endpoint is: an async function from its input to its output, which a request or a call of a batch runs.

use std::pin::Pin;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use http::header;
use serde::Serialize;
use serde::de::DeserializeOwned;
use switchboard::{App, ProjectId};

use super::input::Input;
use super::key::Key;
use super::problem::Problem;
use super::state::ApiState;
use crate::config::ApiScope;

/// An endpoint in the table.
pub(super) struct Endpoint {
    /// The name of its file, and of its call in a batch.
    pub(super) name: &'static str,
    /// The scope that a key needs. `None` if the endpoint checks it.
    pub(super) scope: Option<ApiScope>,
    pub(super) run: Run,
}

/// Runs an endpoint.
pub(super) type Run = fn(Context, Input) -> Running;

pub(super) type Running = Pin<Box<dyn Future<Output = Result<Output, Problem>> + Send>>;

/// The output of an endpoint.
pub(super) enum Output {
    /// A JSON document.
    Json(Bytes),
    /// Lines of JSON that arrive one after the other.
    Lines(Body),
}

/// What an endpoint may return: a value as a JSON document, or an output.
pub(super) trait IntoOutput {
    fn into_output(self) -> Output;
}

impl<T: Serialize> IntoOutput for T {
    fn into_output(self) -> Output {
        Output::Json(serde_json::to_vec(&self).expect("numbers, strings and lists are JSON").into())
    }
}

impl IntoOutput for Output {
    fn into_output(self) -> Output {
        self
    }
}

impl IntoResponse for Output {
    fn into_response(self) -> Response {
        match self {
            Output::Json(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
            Output::Lines(lines) => ([(header::CONTENT_TYPE, "application/x-ndjson")], lines).into_response(),
        }
    }
}

/// The context of an endpoint: the app, as far as the key of the request allows.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) state: Arc<ApiState>,
    pub(super) key: Arc<Key>,
    /// All endpoints, for batches.
    pub(super) endpoints: &'static [Endpoint],
}

impl Context {
    /// The app in the project that the request names, by default the server's own.
    pub(super) fn project(&self, project: Option<&str>) -> Result<App, Problem> {
        let app = match project {
            Some(id) => {
                let id = ProjectId::new(id).map_err(|error| Problem::invalid_field("project", error))?;
                self.state.app.project(&id)
            }
            None => self.state.app.clone(),
        };
        self.key.check_project(app.project_id())?;
        Ok(app)
    }

    /// The state of the server itself, for keys that are not limited to projects.
    pub(super) fn server(&self) -> Result<&ApiState, Problem> {
        self.key.check_server()?;
        Ok(&self.state)
    }
}

/// Reads the input of an endpoint and runs it.
pub(super) fn run<I, O, F>(endpoint: fn(Context, I) -> F, context: Context, input: Input) -> Running
where
    I: DeserializeOwned + Send + 'static,
    O: IntoOutput,
    F: Future<Output = Result<O, Problem>> + Send + 'static,
{
    match input.read() {
        Ok(input) => {
            let running = endpoint(context, input);
            Box::pin(async { Ok(running.await?.into_output()) })
        }
        Err(problem) => Box::pin(async { Err(problem) }),
    }
}
