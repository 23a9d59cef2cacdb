//! Every bound the framework keeps, with its default and what happens at it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Bounds of an app. Connections are counted for each [`UpgradeService`](crate::UpgradeService), which is to say for each
/// `serve`, `into_router` or `into_service`. All defaults are meant for production; [`Limits::default`] has them.
///
/// ```
/// use std::time::Duration;
/// use switchboard::{App, Limits};
///
/// let mut limits = Limits::default();
/// limits.message_bytes_max = 64 * 1024;
/// limits.connections_per_address_max = Some(100);
/// limits.heartbeat_interval = Duration::from_secs(20);
/// let app = App::new().with_limits(limits);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Limits {
    /// Whether numbers of connections and rates are limited. Default true; sizes always are.
    pub enabled: bool,
    /// Most bytes of a message, its fragments added up. Default 1 MiB; above it the connection
    /// closes with 1009.
    pub message_bytes_max: usize,
    /// Most bytes that wait for one socket. Default 1 MiB. At it volatile events are dropped; any
    /// other closes the socket with 1013, behind what was queued.
    pub outbox_bytes_max: usize,
    /// Most rooms, tags and users that one socket is in. Default 1,000; one more is refused.
    pub memberships_max: usize,
    /// Most handlers of one connection that wait at the same time. Default 64; at it further events
    /// are held, up to `message_bytes_max`, while replies are still looked at; then the connection
    /// is not read until a handler is done.
    pub handlers_in_flight_max: usize,
    /// Most requests to one socket that wait for an answer. Default 256; one more is refused.
    pub requests_pending_max: usize,
    /// Most calls to other nodes that wait for an answer, such as requests to their sockets. Default
    /// 4,096; one more is refused.
    pub remote_calls_pending_max: usize,
    /// Most connections of the app. Default none; one more is refused with 503.
    pub connections_max: Option<usize>,
    /// Most connections from one address. Default none, since many people may share one; one more
    /// is refused with 429.
    pub connections_per_address_max: Option<usize>,
    /// New connections per second from one address, with a burst of twice as many. Default 20,000,
    /// since many people may share one address; more are refused with 429.
    pub connects_per_s: Option<u32>,
    /// Refused tokens per minute from one address, and Mesa logins without one. Default 60; above it tokens
    /// are refused without a look at them. Some clients show a bad one for ever.
    pub refused_tokens_per_min: Option<u32>,
    /// Messages per second from one connection, with a burst of four times as many. Default 5,000;
    /// above it the connection closes with 1008.
    pub messages_per_s: Option<u32>,
    /// Bytes per second from one connection, with a burst of four times as many. Default 16 MiB;
    /// above it the connection closes with 1008.
    pub bytes_per_s: Option<u32>,
    /// How long a handshake may take under [`serve`](crate::serve). Default 10 s; then the connection
    /// is cut.
    #[serde(with = "millis", rename = "handshake_timeout_ms")]
    pub handshake_timeout: Duration,
    /// How long a request to a client waits for its answer. Default 10 s.
    #[serde(with = "millis", rename = "request_timeout_ms")]
    pub request_timeout: Duration,
    /// How long a peer may take to answer a close frame. Default 5 s; then it is cut.
    #[serde(with = "millis", rename = "close_timeout_ms")]
    pub close_timeout: Duration,
    /// How often each socket is pinged; one that is silent from one ping to the next is cut.
    /// Default 30 s; zero means never.
    #[serde(with = "millis", rename = "heartbeat_interval_ms")]
    pub heartbeat_interval: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            enabled: true,
            message_bytes_max: 1024 * 1024,
            outbox_bytes_max: 1024 * 1024,
            memberships_max: 1000,
            handlers_in_flight_max: 64,
            requests_pending_max: 256,
            remote_calls_pending_max: 4096,
            connections_max: None,
            connections_per_address_max: None,
            connects_per_s: Some(20_000),
            refused_tokens_per_min: Some(60),
            messages_per_s: Some(5000),
            bytes_per_s: Some(16 * 1024 * 1024),
            handshake_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
            heartbeat_interval: Duration::from_secs(30),
        }
    }
}

impl Limits {
    /// The same without limits on rates and numbers of connections; sizes stay bounded.
    ///
    /// ```
    /// # use switchboard::{App, Limits};
    /// let app = App::new().with_limits(Limits::default().without_rates());
    /// assert_eq!(app.limits().messages_per_s, None);
    /// assert_eq!(app.limits().message_bytes_max, 1024 * 1024);
    /// ```
    pub fn without_rates(mut self) -> Self {
        self.enabled = false;
        self
    }

    /// What is in force: nothing of what [`enabled`](Self::enabled) switches off.
    pub(crate) fn in_force(mut self) -> Self {
        if !self.enabled {
            self.connections_max = None;
            self.connections_per_address_max = None;
            self.connects_per_s = None;
            self.refused_tokens_per_min = None;
            self.messages_per_s = None;
            self.bytes_per_s = None;
        }
        self
    }
}

/// Durations as whole milliseconds.
mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        (duration.as_millis() as u64).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}
