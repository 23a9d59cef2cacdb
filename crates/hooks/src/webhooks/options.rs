//! Options of webhooks.

use std::path::PathBuf;
use std::time::Duration;

use switchboard_disk::ReportFileError;
use switchboard_event::{NameError, ProjectId, RoomName};
use switchboard_redis::ConnectError;

use crate::outgoing::{OutgoingOptions, UrlError};
use crate::signature::SecretError;

use super::event_kind::{EventKind, EventSet};

/// Options of all endpoints, each with its default.
#[derive(Debug, Clone)]
pub struct WebhookOptions {
    /// The endpoints. Default none.
    pub endpoints: Vec<EndpointOptions>,
    /// Without Redis, bytes of reports that one endpoint queues in memory. Default 16 MiB. At the bound a new report is
    /// dropped and counted.
    pub queue_bytes_max: usize,
    /// Without Redis, the file that has a copy of the queues, so that a restart loses no report. One process at a time can
    /// open it. Default none: the queues are in memory alone.
    pub file: Option<PathBuf>,
    /// Longest body of a call, in bytes. Default 1 MiB. A report that is longer is sent alone.
    pub body_bytes_max: usize,
    /// The pause after a first failed attempt is random, up to this time; it doubles with each further failure. Default
    /// 1 s.
    pub retry_min: Duration,
    /// The longest pause. Default 5 min.
    pub retry_max: Duration,
    /// Age at which a report is dropped and counted. Default 24 h.
    pub age_max: Duration,
    /// How long a room has been without members when it is reported as vacated. Default 5 s.
    pub vacated_after: Duration,
}

impl Default for WebhookOptions {
    fn default() -> Self {
        WebhookOptions {
            endpoints: Vec::new(),
            queue_bytes_max: 16 * 1024 * 1024,
            file: None,
            body_bytes_max: 1024 * 1024,
            retry_min: Duration::from_secs(1),
            retry_max: Duration::from_secs(300),
            age_max: Duration::from_secs(24 * 60 * 60),
            vacated_after: Duration::from_secs(5),
        }
    }
}

/// Options of one endpoint.
#[derive(Clone)]
pub struct EndpointOptions {
    /// The name in the settings, in logs and in metrics. With Redis, nodes with the same name share its reports.
    pub name: String,
    /// The URL that receives the calls.
    pub url: String,
    /// Secrets, each `whsec_` and base64. Every call carries a signature for each; without a secret, calls are unsigned.
    pub secrets: Vec<String>,
    /// The events that it receives.
    pub events: EventSet,
    /// The projects of the events that it receives.
    pub projects: Vec<ProjectId>,
    /// The rooms of `joined`, `left`, `occupied` and `vacated`. Default: all.
    pub rooms: Option<RoomPattern>,
    /// The HTTP client.
    pub outgoing: OutgoingOptions,
}

/// Leaves out the secrets.
impl std::fmt::Debug for EndpointOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EndpointOptions")
            .field("name", &self.name)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl EndpointOptions {
    /// Options for an endpoint that receives some events of the project `default`.
    pub fn new(name: &str, url: &str, events: &[EventKind]) -> Self {
        EndpointOptions {
            name: name.into(),
            url: url.into(),
            secrets: Vec::new(),
            events: events.iter().copied().collect(),
            projects: vec![ProjectId::new("default").expect("the name is neither empty nor long")],
            rooms: None,
            outgoing: OutgoingOptions::default(),
        }
    }
}

/// A room, or with `*` at the end all rooms that begin alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomPattern(Matches);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Matches {
    All,
    Prefix(RoomName),
    One(RoomName),
}

impl RoomPattern {
    /// Reads a pattern such as `#chat-*`; `#` may be missing.
    pub fn new(text: &str) -> Result<Self, NameError> {
        Ok(RoomPattern(match text.strip_suffix('*') {
            Some("" | "#") => Matches::All,
            Some(prefix) => Matches::Prefix(RoomName::new(prefix)?),
            None => Matches::One(RoomName::new(text)?),
        }))
    }

    /// Returns true if the room matches.
    pub fn matches(&self, room: &RoomName) -> bool {
        match &self.0 {
            Matches::All => true,
            Matches::Prefix(prefix) => room.starts_with(&**prefix),
            Matches::One(name) => name == room,
        }
    }
}

/// Why webhooks cannot be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookError {
    /// The URL of an endpoint is not valid.
    #[error("the URL of the webhook endpoint `{endpoint}` is not valid")]
    Url {
        /// The endpoint.
        endpoint: String,
        /// The fault.
        #[source]
        source: UrlError,
    },
    /// A secret of an endpoint is not valid.
    #[error("a secret of the webhook endpoint `{endpoint}` is not valid")]
    Secret {
        /// The endpoint.
        endpoint: String,
        /// The fault.
        #[source]
        source: SecretError,
    },
    /// The name of an endpoint is not valid.
    #[error("the name of a webhook endpoint is not valid")]
    Name(#[from] NameError),
    /// The file of the queues cannot be used.
    #[error(transparent)]
    File(#[from] ReportFileError),
    /// Redis cannot be reached.
    #[error(transparent)]
    Redis(#[from] ConnectError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_a_room_or_rooms_that_begin_alike() {
        let matches = |pattern: &str, room: &str| {
            RoomPattern::new(pattern).unwrap().matches(&RoomName::new(room).unwrap())
        };
        for (pattern, room) in [
            ("#a", "#a"),
            ("a", "#a"),
            ("#chat-*", "#chat-7"),
            ("chat-*", "#chat-"),
            ("*", "#x"),
            ("#*", "#x"),
        ] {
            assert!(matches(pattern, room), "{pattern} {room}");
        }
        for (pattern, room) in [("#a", "#ab"), ("#chat-*", "#chat"), ("#chat-*", "#news")] {
            assert!(!matches(pattern, room), "{pattern} {room}");
        }
        assert!(RoomPattern::new("").is_err());
    }
}
