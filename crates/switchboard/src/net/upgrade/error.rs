//! Why a handshake is refused: its message, HTTP status, and the reason under which it is counted.

use http::StatusCode;
use switchboard_ws::handshake::HandshakeError;

use crate::net::credential::CrossSite;
use crate::net::limiter::LimitError;
use crate::node::refusal_reason::RefusalReason;
use crate::protocols::admission::UriError;

/// Why a handshake was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpgradeError {
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    #[error("the head of the request exceeds {0} bytes")]
    HeadTooLarge(usize),
    #[error("this origin may not connect")]
    Origin,
    #[error("this origin may not connect with the cookie of another host")]
    CookieOrigin,
    #[error(transparent)]
    Uri(#[from] UriError),
    #[error("the server is stopping")]
    Stopping,
    #[error("the server is draining")]
    Draining,
    #[error(transparent)]
    Limit(#[from] LimitError),
    #[error("the connection cannot be upgraded")]
    NoUpgrade,
}

impl From<CrossSite> for UpgradeError {
    fn from(_: CrossSite) -> Self {
        UpgradeError::CookieOrigin
    }
}

impl UpgradeError {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            UpgradeError::Handshake(error) => error.status(),
            UpgradeError::HeadTooLarge(_) => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            UpgradeError::Origin | UpgradeError::CookieOrigin => StatusCode::FORBIDDEN,
            UpgradeError::Uri(error) => error.status,
            UpgradeError::Stopping | UpgradeError::Draining | UpgradeError::Limit(LimitError::Server(_)) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            UpgradeError::Limit(_) => StatusCode::TOO_MANY_REQUESTS,
            UpgradeError::NoUpgrade => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    pub(crate) fn reason(&self) -> RefusalReason {
        match self {
            UpgradeError::Handshake(HandshakeError::NotWebSocket) => RefusalReason::NotWebSocket,
            UpgradeError::Handshake(_) => RefusalReason::BadRequest,
            UpgradeError::HeadTooLarge(_) => RefusalReason::HeadTooLarge,
            UpgradeError::Origin => RefusalReason::Origin,
            UpgradeError::CookieOrigin => RefusalReason::CookieOrigin,
            UpgradeError::Uri(_) => RefusalReason::Uri,
            UpgradeError::Stopping => RefusalReason::Stopping,
            UpgradeError::Draining => RefusalReason::Draining,
            UpgradeError::Limit(LimitError::Server(_)) => RefusalReason::ServerFull,
            UpgradeError::Limit(LimitError::Address(_)) => RefusalReason::AddressFull,
            UpgradeError::Limit(LimitError::Connects(_)) => RefusalReason::ConnectRate,
            UpgradeError::Limit(LimitError::Requests(_) | LimitError::Rule(_)) => RefusalReason::RequestRate,
            UpgradeError::NoUpgrade => RefusalReason::NoUpgrade,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_a_status_and_a_reason() {
        for (error, status, label) in [
            (HandshakeError::NotWebSocket.into(), 426, "not_websocket"),
            (HandshakeError::Version.into(), 426, "bad_request"),
            (LimitError::Server(1).into(), 503, "server_full"),
            (LimitError::Address(1).into(), 429, "address_full"),
            (LimitError::Connects(1).into(), 429, "connect_rate"),
            (LimitError::Requests(1).into(), 429, "request_rate"),
            (UpgradeError::Stopping, 503, "stopping"),
            (UpgradeError::Draining, 503, "draining"),
            (UpgradeError::NoUpgrade, 500, "no_upgrade"),
        ] {
            assert_eq!((error.status().as_u16(), error.reason().label()), (status, label));
        }
    }
}
