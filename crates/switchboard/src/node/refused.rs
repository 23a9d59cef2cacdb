//! Counts refused handshakes and connections.

use metrics::counter;

/// Why a handshake or connection was refused: the values of the metric's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// A plain HTTP request for an address that has WebSockets only.
    NotWebSocket,
    /// Not HTTP, or a handshake or request that violates its RFC.
    BadRequest,
    /// The head exceeds `header_bytes_max`.
    HeadTooLarge,
    /// The head or the body of the request was not complete in time.
    Timeout,
    Origin,
    /// A page of another host, whose browser sent the cookie with the token.
    CookieOrigin,
    /// The URL has no valid project or parameters.
    Address,
    Stopping,
    ServerFull,
    AddressFull,
    ConnectRate,
    /// Refused handshakes count as HTTP requests, and the address has too many.
    RequestRate,
    /// The address has its most HTTP connections.
    HttpConnections,
    /// The HTTP server around the service does not support upgrades.
    NoUpgrade,
    ProjectFull,
    /// The client may not join the shard.
    Forbidden,
    /// The store did not answer.
    Unavailable,
}

impl Refused {
    /// The value of the label.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Refused::NotWebSocket => "not_websocket",
            Refused::BadRequest => "bad_request",
            Refused::HeadTooLarge => "head_too_large",
            Refused::Timeout => "timeout",
            Refused::Origin => "origin",
            Refused::CookieOrigin => "cookie_origin",
            Refused::Address => "address",
            Refused::Stopping => "stopping",
            Refused::ServerFull => "server_full",
            Refused::AddressFull => "address_full",
            Refused::ConnectRate => "connect_rate",
            Refused::RequestRate => "request_rate",
            Refused::HttpConnections => "http_connections",
            Refused::NoUpgrade => "no_upgrade",
            Refused::ProjectFull => "project_full",
            Refused::Forbidden => "forbidden",
            Refused::Unavailable => "unavailable",
        }
    }

    pub(crate) fn count(self) {
        counter!("switchboard_connections_refused_total", "reason" => self.label()).increment(1);
    }
}
