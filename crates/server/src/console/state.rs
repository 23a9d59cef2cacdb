//! What the console of a node has, and what each of its listeners has.

use std::sync::Arc;

use axum::extract::Request;
use http::StatusCode;
use switchboard::backplane::NodeId;

use super::cookie;
use super::sessions::{Session, Sessions};
use crate::api::{AdmittedKey, Problem, SharedKeys};
use crate::config;

/// The console of a node.
#[derive(Clone)]
pub(crate) struct Console {
    pub(super) keys: Arc<SharedKeys>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) node: NodeId,
}

/// A listener with the console.
#[derive(Clone)]
pub(super) struct Listener {
    pub(super) console: Console,
    /// Browsers send the cookie through TLS only.
    pub(super) is_secure: bool,
    /// Backends with a key of their own are served, too.
    pub(super) accepts_keys: bool,
}

impl Console {
    pub(crate) fn new(settings: &config::Console, keys: Arc<SharedKeys>, node: NodeId) -> Self {
        Console { keys, sessions: Arc::new(Sessions::new(settings.session())), node }
    }

    /// The session that a request shows, and its key. The request counts at the key's rate.
    pub(super) fn admitted(&self, request: &Request) -> Result<(AdmittedKey, Session), Problem> {
        let token = cookie::read(request.headers(), self.node);
        let session = token.and_then(|token| self.sessions.find(token)).ok_or_else(Problem::no_session)?;
        let key = self.keys.admit_digest(&session.key).map_err(|problem| match problem.status() {
            // The key has expired, or was removed from the settings.
            StatusCode::UNAUTHORIZED => Problem::no_session(),
            _ => problem,
        })?;
        Ok((key, session))
    }
}
