//! The answers to handshakes, and the log lines about refused ones.

use std::net::IpAddr;

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use switchboard_log::{limited, limited_by, printable, printable_error};

use super::error::UpgradeError;
use crate::net::forwarded::ReportError;
use crate::net::limiter::LimitError;
use crate::node::refusal_reason::RefusalReason;

/// Logs a refused handshake: at `info` if a limit or a setting refused it. Origins have a line of their own.
pub(super) fn log_refusal(error: &UpgradeError, client: Option<IpAddr>) {
    let (reason, client) = (error.reason(), client.map(printable));
    match reason {
        RefusalReason::Origin => {}
        RefusalReason::ServerFull
        | RefusalReason::AddressFull
        | RefusalReason::ConnectRate
        | RefusalReason::RequestRate
        | RefusalReason::Uri => {
            limited_by!(
                reason.label(),
                INFO,
                reason = printable(reason.label()),
                client,
                error = printable_error(error),
                "handshake refused"
            );
        }
        _ => limited_by!(
            reason.label(),
            DEBUG,
            reason = printable(reason.label()),
            client,
            error = printable_error(error),
            "handshake refused"
        ),
    }
}

/// Logs a refused origin at `info`, because the usual cause is a missing entry in the settings.
pub(super) fn log_refused_origin(headers: &HeaderMap) {
    let origin = headers.get(header::ORIGIN).map(HeaderValue::as_bytes).unwrap_or_default();
    let origin = printable(String::from_utf8_lossy(origin));
    limited!(INFO, origin, "page refused with 403, because its origin is not in clients.allowed_origins");
}

/// Logs a refused cookie at `info`, because the usual cause is a missing entry in the settings.
pub(super) fn log_refused_cookie(headers: &HeaderMap) {
    let origin = headers.get(header::ORIGIN).map(HeaderValue::as_bytes).unwrap_or_default();
    let origin = printable(String::from_utf8_lossy(origin));
    limited!(
        INFO,
        origin,
        "page of another host refused with 403, because its browser sent the cookie of auth.cookie and its origin is \
         not in clients.allowed_origins"
    );
}

/// Warns of a client that counts as its proxy.
pub(super) fn log_unknown_address(error: ReportError) {
    match error {
        ReportError::Unreadable => limited!(
            WARN,
            "client counts as its proxy, because the address that the trusted proxy reported is unreadable"
        ),
        ReportError::Contradictory => limited!(
            WARN,
            "client counts as its proxy, because x-forwarded-for and forwarded name different clients; \
             set clients.forwarded_header to the header that the proxy writes"
        ),
    }
}

/// The answer that accepts a handshake.
pub(super) fn switching_protocols(accept: HeaderValue) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    response
}

/// The answer that refuses a handshake.
pub(super) fn refusal(error: &UpgradeError) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{error}\n")));
    *response.status_mut() = error.status();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if error.status() == StatusCode::UPGRADE_REQUIRED {
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    if error.status() == StatusCode::TOO_MANY_REQUESTS {
        let seconds = match error {
            UpgradeError::Limit(LimitError::Rule(ms)) => ms.div_ceil(1000).max(1),
            _ => 1,
        };
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    response
}
