//! The framework's limits, each with its default and the behaviour at the limit.

use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use switchboard_event::{RATE_RULES_MAX, RateRule};

/// Limits of an app. Connections are counted for each [`UpgradeService`](crate::net::UpgradeService), that is, for each
/// call of `serve`, `into_router` or `into_service`. The defaults are suitable for production.
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
    /// Limits rates and numbers of connections. Sizes are always limited. Default true.
    pub enabled: bool,
    /// Largest message in bytes, all fragments together; a larger one closes the connection with 1009.
    /// Koji clients can send at most 524,288 bytes. Default 1,048,576.
    #[serde(deserialize_with = "at_least_one")]
    pub message_bytes_max: usize,
    /// Bytes queued for one socket. At the bound a volatile event is dropped; any other event closes the
    /// socket with 1013, after the queued frames. Default 1,048,576.
    #[serde(deserialize_with = "at_least_one")]
    pub outbox_bytes_max: usize,
    /// Longest time for which a connection is not read because receivers of its messages are behind: it waits from half to
    /// a quarter of `limits.outbox_bytes_max`. Then its next message is handled. Zero switches the waiting off, so that
    /// a burst closes receivers that are slower than the sender. Default 2 s.
    #[serde(rename = "stall_max_ms", serialize_with = "millis", deserialize_with = "any_ms")]
    pub stall_max: Duration,
    /// For how long within a minute a receiver may delay senders although it reads more slowly than
    /// `limits.receiver_bytes_per_s_min`. Then they no longer wait for it, and the bound of its outbox closes it. With
    /// zero they wait only for receivers that are fast enough. Default 10 s.
    #[serde(rename = "stall_budget_ms", serialize_with = "millis", deserialize_with = "any_ms")]
    pub stall_budget: Duration,
    /// Bytes per second that a receiver must read to delay senders without a limit; zero counts as 1. Default 65,536.
    pub receiver_bytes_per_s_min: u32,
    /// Rooms, tags and users of one socket; one more is refused. Default 1,000.
    #[serde(deserialize_with = "at_least_one")]
    pub memberships_max: usize,
    /// Bytes in the names of the rooms, tags and users of one socket; a name that exceeds them is refused. Default
    /// 65,536.
    #[serde(deserialize_with = "at_least_one")]
    pub membership_bytes_max: usize,
    /// Largest head of an HTTP request in bytes, handshakes included: address and headers. A larger one is refused
    /// with 431. Default 16,384.
    #[serde(deserialize_with = "at_least_one")]
    pub header_bytes_max: usize,
    /// Unfinished handlers of one connection. At the bound further events are deferred, up to
    /// `limits.message_bytes_max`, and then the connection is not read until a handler ends. Default 64.
    #[serde(deserialize_with = "at_least_one")]
    pub handlers_in_flight_max: usize,
    /// Unanswered requests to one socket; one more is refused. Default 256.
    #[serde(deserialize_with = "at_least_one")]
    pub requests_pending_max: usize,
    /// Unanswered calls to other nodes, such as requests to their sockets; one more is refused. Default 4,096.
    #[serde(deserialize_with = "at_least_one")]
    pub remote_calls_pending_max: usize,
    /// Open WebSockets; one more is refused with 503. Default: no limit.
    #[serde(with = "crate::node::limit")]
    pub connections_max: Option<usize>,
    /// Open WebSockets from one address, which many clients may share; one more is refused with 429. An IPv6 network
    /// of 64 bits counts as one address. Limits per address do not apply to connections from this machine and to
    /// trusted proxies. Default 4,096.
    #[serde(with = "crate::node::limit")]
    pub connections_per_address_max: Option<usize>,
    /// Open HTTP connections from one address, including handshakes; one more is closed without an answer. Default
    /// 1,024.
    #[serde(with = "crate::node::limit")]
    pub http_connections_per_address_max: Option<usize>,
    /// Bytes in unfinished messages of all connections from one address; the connection that exceeds them is closed
    /// with 1013. Default 67,108,864.
    #[serde(deserialize_with = "at_least_one")]
    pub unfinished_bytes_per_address_max: usize,
    /// New WebSockets per second from one address, with a burst of twice as many; more are refused with
    /// 429. Default 20,000.
    #[serde(with = "crate::node::limit")]
    pub connects_per_s: Option<u32>,
    /// HTTP requests per second from one address, with a burst of twice as many; more are answered with 429. Refused
    /// handshakes count, accepted ones do not. A long list of shards counts as several requests, and so does
    /// `/metrics`. Default 5,000.
    #[serde(with = "crate::node::limit")]
    pub http_requests_per_s: Option<u32>,
    /// Longest token in bytes; a longer one is refused without being verified. Default 16,384.
    #[serde(deserialize_with = "at_least_one")]
    pub token_bytes_max: usize,
    /// Longest duration of a token's verification; then the token is refused. Default 10 s.
    #[serde(rename = "token_timeout_ms", serialize_with = "millis", deserialize_with = "at_least_one_ms")]
    pub token_timeout: Duration,
    /// Refused tokens per minute from one address, or from one /64 network of IPv6. Above it tokens from
    /// there are verified four at a time, and each refusal takes 20 ms longer. No token is refused for it.
    /// Default 60.
    #[serde(with = "crate::node::limit")]
    pub refused_tokens_per_min: Option<u32>,
    /// Milliseconds of a thread per second that tokens from one address, or from one /64 network of IPv6,
    /// may take, with a burst of four times as many; above it tokens from there wait. Default 250.
    #[serde(with = "crate::node::limit")]
    pub token_ms_per_s: Option<u32>,
    /// Rate rules, at most 64: a table for each, with `events` (names, prefixes such as `chat_*`, or `@frame`, `@request`,
    /// `@join`, `@login`, `@user-info`, `@placement`, `@http`), `per` (`user`, `socket`, `address` or `project`), `rate` such
    /// as `10/s` (or `min`, `h`, `d`), `burst`, and `then` (`refuse`, `ignore` or `close`). Default: none.
    #[serde(deserialize_with = "rate_rules")]
    pub rules: Vec<RateRule>,
    /// Users, addresses and projects that rate rules count, 17 to 36 bytes each; for one more, another that has used
    /// little is forgotten. Default 1,000,000.
    #[serde(deserialize_with = "at_least_one")]
    pub rule_keys_max: usize,
    /// Revoked tokens and users that are remembered, about 200 bytes each; a revocation beyond is refused. Default
    /// 100,000.
    #[serde(deserialize_with = "at_least_one")]
    pub revocations_max: usize,
    /// How long a revocation is remembered that does not say when its tokens expire. A token that is valid for longer is
    /// accepted again afterwards. Default 30 days.
    #[serde(
        rename = "revocation_lifetime_ms",
        serialize_with = "millis",
        deserialize_with = "at_least_one_ms"
    )]
    pub revocation_lifetime: Duration,
    /// Messages per second from one connection, with a burst of four times as many; above it the
    /// connection is closed with 1008. Every fragment, ping and pong counts as a message. A message of a Koji client
    /// that names recipients counts as one for each. Default 5,000.
    #[serde(with = "crate::node::limit")]
    pub messages_per_s: Option<u32>,
    /// Bytes per second from one connection, with a burst of four times as many; above it the connection
    /// is closed with 1008. Every byte counts, also those of frame headers and unfinished messages. Default
    /// 16,777,216.
    #[serde(with = "crate::node::limit")]
    pub bytes_per_s: Option<u32>,
    /// Time within which the first request of a connection, a handshake or another, must be complete, and before it the
    /// handshake of TLS; then the connection is aborted. Default 10 s.
    #[serde(
        rename = "handshake_timeout_ms",
        serialize_with = "millis",
        deserialize_with = "at_least_one_ms"
    )]
    pub handshake_timeout: Duration,
    /// Longest time from one HTTP request to the next on a connection, until the head of the next is complete; then
    /// the connection is closed. A load balancer that reuses connections needs a shorter one. Default 75 s.
    #[serde(
        rename = "http_keep_alive_timeout_ms",
        serialize_with = "millis",
        deserialize_with = "at_least_one_ms"
    )]
    pub http_keep_alive_timeout: Duration,
    /// Longest time for the body of an HTTP request, and 1 s more for each 4 KiB that have arrived; then the request
    /// fails. Also the longest time that a peer accepts nothing of an answer; then the connection is closed. Default
    /// 10 s.
    #[serde(
        rename = "http_body_timeout_ms",
        serialize_with = "millis",
        deserialize_with = "at_least_one_ms"
    )]
    pub http_body_timeout: Duration,
    /// Longest time from the beginning of a message to its end, without the time that the server does not read; then
    /// the connection is closed with 1008. Zero switches it off. Default 60 s.
    #[serde(rename = "message_timeout_ms", serialize_with = "millis", deserialize_with = "any_ms")]
    pub message_timeout: Duration,
    /// Longest time until a client answers a request; then the request fails. Default 10 s.
    #[serde(rename = "request_timeout_ms", serialize_with = "millis", deserialize_with = "at_least_one_ms")]
    pub request_timeout: Duration,
    /// Longest time until a peer answers a close frame; then the connection is aborted. Default 5 s.
    #[serde(rename = "close_timeout_ms", serialize_with = "millis", deserialize_with = "at_least_one_ms")]
    pub close_timeout: Duration,
    /// Interval of WebSocket pings, at least 1 s; zero switches them off. A socket that sends nothing
    /// between two pings is aborted. Default 30 s.
    #[serde(rename = "heartbeat_interval_ms", serialize_with = "millis", deserialize_with = "any_ms")]
    pub heartbeat_interval: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            enabled: true,
            message_bytes_max: 1024 * 1024,
            outbox_bytes_max: 1024 * 1024,
            stall_max: Duration::from_secs(2),
            stall_budget: Duration::from_secs(10),
            receiver_bytes_per_s_min: 64 * 1024,
            memberships_max: 1000,
            membership_bytes_max: 64 * 1024,
            header_bytes_max: 16 * 1024,
            handlers_in_flight_max: 64,
            requests_pending_max: 256,
            remote_calls_pending_max: 4096,
            connections_max: None,
            connections_per_address_max: Some(4096),
            http_connections_per_address_max: Some(1024),
            unfinished_bytes_per_address_max: 64 * 1024 * 1024,
            connects_per_s: Some(20_000),
            http_requests_per_s: Some(5000),
            token_bytes_max: 16 * 1024,
            token_timeout: Duration::from_secs(10),
            refused_tokens_per_min: Some(60),
            token_ms_per_s: Some(250),
            rules: Vec::new(),
            rule_keys_max: 1_000_000,
            revocations_max: 100_000,
            revocation_lifetime: Duration::from_secs(30 * 24 * 3600),
            messages_per_s: Some(5000),
            bytes_per_s: Some(16 * 1024 * 1024),
            handshake_timeout: Duration::from_secs(10),
            http_keep_alive_timeout: Duration::from_secs(75),
            http_body_timeout: Duration::from_secs(10),
            message_timeout: Duration::from_secs(60),
            request_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
            heartbeat_interval: Duration::from_secs(30),
        }
    }
}

impl Limits {
    /// Disables limits on rates and numbers of connections. Sizes stay limited.
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

    /// Removes the limits that [`enabled`](Self::enabled) switches off.
    ///
    /// ```
    /// # use switchboard::Limits;
    /// assert_eq!(Limits::default().without_rates().effective().messages_per_s, None);
    /// ```
    pub fn effective(mut self) -> Self {
        if !self.enabled {
            self.rules.clear();
            self.connections_max = None;
            self.connections_per_address_max = None;
            self.http_connections_per_address_max = None;
            self.connects_per_s = None;
            self.http_requests_per_s = None;
            self.refused_tokens_per_min = None;
            self.token_ms_per_s = None;
            self.messages_per_s = None;
            self.bytes_per_s = None;
        }
        self
    }
}

fn rate_rules<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<RateRule>, D::Error> {
    let rules = Vec::deserialize(deserializer)?;
    match rules.len() {
        ..=RATE_RULES_MAX => Ok(rules),
        _ => Err(D::Error::custom(format_args!("expected at most {RATE_RULES_MAX} rules"))),
    }
}

fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    match usize::deserialize(deserializer)? {
        0 => Err(D::Error::custom("expected at least 1")),
        number => Ok(number),
    }
}

fn at_least_one_ms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    at_least_one(deserializer).map(|ms| Duration::from_millis(ms as u64))
}

fn any_ms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_millis)
}

/// Rounds up, since zero has another meaning.
fn millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    (duration.as_nanos().div_ceil(1_000_000) as u64).serialize(serializer)
}
