//! Options of handlers over HTTP.

use switchboard::{NameError, ProjectId};

use crate::outgoing::{OutgoingOptions, UrlError};
use crate::signature::SecretError;

/// The event of a connecting client.
pub const CONNECT: &str = "@connect";

/// The fate of an event if its backend does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// The client receives an error, or may not connect.
    #[default]
    Reject,
    /// The server goes on as without the backend.
    Allow,
}

/// Options of one backend.
#[derive(Clone)]
pub struct HandlerOptions {
    /// The name in the settings, in logs and in metrics.
    pub name: String,
    /// The URL that receives the calls.
    pub url: String,
    /// Secrets, each `whsec_` and base64. Every call carries a signature for each; without a secret, calls are unsigned.
    pub secrets: Vec<String>,
    /// The events that it handles.
    pub events: Vec<EventPattern>,
    /// Whether it decides which clients may connect.
    pub decides_connects: bool,
    /// The projects that it serves. Default: all.
    pub projects: Option<Vec<ProjectId>>,
    /// Headers of the handshake that a question contains, in lower case.
    pub headers: Vec<String>,
    /// The fate of an event if it does not answer.
    pub on_failure: OnFailure,
    /// Most calls that wait for an answer at the same time; further ones wait for their turn, within the time-out.
    pub in_flight_max: usize,
    /// The HTTP client. Its time-out includes the wait for a turn.
    pub outgoing: OutgoingOptions,
}

/// Leaves out the secrets.
impl std::fmt::Debug for HandlerOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HandlerOptions")
            .field("name", &self.name)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// An event, or with `*` at the end all events that begin alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventPattern {
    name: String,
    is_prefix: bool,
}

impl EventPattern {
    /// Reads a pattern such as `/chat/*`.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let (name, is_prefix) = match text.strip_suffix('*') {
            Some(prefix) => (prefix, true),
            None => (text, false),
        };
        if !is_prefix || !name.is_empty() {
            switchboard::Name::new(name)?;
        }
        Ok(EventPattern { name: name.into(), is_prefix })
    }

    /// Returns true if the event matches.
    pub fn matches(&self, event: &str) -> bool {
        if self.is_prefix { event.starts_with(&self.name) } else { event == self.name }
    }
}

/// Why a backend cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandlerError {
    /// The URL of a backend is not valid.
    #[error("the URL of the backend `{backend}` is not valid")]
    Url {
        /// The backend.
        backend: String,
        /// The fault.
        #[source]
        source: UrlError,
    },
    /// A secret of a backend is not valid.
    #[error("a secret of the backend `{backend}` is not valid")]
    Secret {
        /// The backend.
        backend: String,
        /// The fault.
        #[source]
        source: SecretError,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_an_event_or_events_that_begin_alike() {
        let matches = |pattern: &str, event: &str| EventPattern::new(pattern).unwrap().matches(event);
        assert!(matches("/chat/send", "/chat/send") && matches("/chat/*", "/chat/send") && matches("*", "x"));
        assert!(!matches("/chat/send", "/chat/sends") && !matches("/chat/*", "/chat"));
        assert!(EventPattern::new("").is_err());
    }
}
