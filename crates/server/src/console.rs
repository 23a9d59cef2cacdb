//! The console: pages for operators, on the listener of the API and on that of health.
//!
//! The pages call the HTTP API, as every backend does. A key of the API opens a session; from then on a cookie takes the place
//! of the key. The pages are files of `switchboard-pages`, and never on the address of clients.

mod cookie;
mod files;
mod origin;
mod sessions;
mod sign_in;
mod state;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;

use crate::api::Problem;
pub(crate) use state::Console;
use state::Listener;

/// Largest request to open a session: a key.
const BODY_BYTES_MAX: usize = 4096;

impl Console {
    /// Adds the pages to the API, whose endpoints accept their sessions beside keys.
    pub(crate) fn beside_api(&self, api: Router, is_secure: bool) -> Router {
        self.routes(api, is_secure, true)
    }

    /// The pages and the API for them only, for a listener that has other routes.
    pub(crate) fn alone(&self, api: Router, is_secure: bool) -> Router {
        self.routes(api, is_secure, false)
    }

    fn routes(&self, api: Router, is_secure: bool, accepts_keys: bool) -> Router {
        let listener = Listener { console: self.clone(), is_secure, accepts_keys };
        let api = api.layer(from_fn_with_state(listener.clone(), admit));
        let session = get(sign_in::state).post(sign_in::open).delete(sign_in::end);
        Router::new()
            .route("/console/session", session)
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(listener)
            .merge(files::routes())
            .merge(api)
    }
}

/// The routes in place of a console that is off: the reason, for the operator.
pub(crate) fn off(reason: &'static str) -> Router {
    let answer = get(async move || (StatusCode::NOT_FOUND, format!("the console is off: {reason}\n")));
    Router::new().route("/console", answer.clone()).route("/console/", answer)
}

/// Lets a request of a page use the key of its session.
async fn admit(State(listener): State<Listener>, mut request: Request, next: Next) -> Response {
    if !origin::is_of_a_page(&request) {
        return match listener.accepts_keys {
            true => next.run(request).await,
            false => Problem::no_session().into_response(),
        };
    }
    match listener.console.admitted(&request) {
        Ok((key, _)) => {
            request.extensions_mut().insert(key);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}
