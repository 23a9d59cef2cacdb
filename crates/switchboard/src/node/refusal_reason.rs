//! Counts refused handshakes and connections.

use metrics::counter;

/// Why a handshake or connection was refused: the values of the metric's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefusalReason {
    /// A plain HTTP request for a path that has WebSockets only.
    NotWebSocket,
    /// Not HTTP, or a handshake or request that violates its RFC.
    BadRequest,
    /// The TLS handshake failed, or the client sent plain HTTP to a port with TLS.
    TlsHandshake,
    /// The head exceeds `header_bytes_max`.
    HeadTooLarge,
    /// The head or the body of the request was not complete in time.
    Timeout,
    Origin,
    /// A page of another host, whose browser sent the cookie with the token.
    CookieOrigin,
    /// The URL has no valid project or parameters.
    Uri,
    Stopping,
    Draining,
    ServerFull,
    AddressFull,
    ConnectRate,
    /// Refused handshakes count as HTTP requests, and the address has too many.
    RequestRate,
    /// The address has the maximum number of HTTP connections.
    HttpConnections,
    /// The HTTP server around the service does not support upgrades.
    NoUpgrade,
    ProjectFull,
    /// The client may not join the shard, or the gate of the app refuses it.
    Forbidden,
    /// A rate rule for placements is exceeded.
    RateLimited,
    /// The store did not answer.
    Unavailable,
}

impl RefusalReason {
    /// The value of the label.
    pub(crate) fn label(self) -> &'static str {
        match self {
            RefusalReason::NotWebSocket => "not_websocket",
            RefusalReason::BadRequest => "bad_request",
            RefusalReason::TlsHandshake => "tls_handshake",
            RefusalReason::HeadTooLarge => "head_too_large",
            RefusalReason::Timeout => "timeout",
            RefusalReason::Origin => "origin",
            RefusalReason::CookieOrigin => "cookie_origin",
            RefusalReason::Uri => "address",
            RefusalReason::Stopping => "stopping",
            RefusalReason::Draining => "draining",
            RefusalReason::ServerFull => "server_full",
            RefusalReason::AddressFull => "address_full",
            RefusalReason::ConnectRate => "connect_rate",
            RefusalReason::RequestRate => "request_rate",
            RefusalReason::HttpConnections => "http_connections",
            RefusalReason::NoUpgrade => "no_upgrade",
            RefusalReason::ProjectFull => "project_full",
            RefusalReason::Forbidden => "forbidden",
            RefusalReason::RateLimited => "rate_limited",
            RefusalReason::Unavailable => "unavailable",
        }
    }

    pub(crate) fn count(self) {
        counter!("switchboard_connections_refused_total", "reason" => self.label()).increment(1);
    }
}
