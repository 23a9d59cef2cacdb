//! The opening handshake.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use sha1_smol::Sha1;

/// Appended to the client's key before hashing (RFC 6455, section 1.3).
const KEY_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Why a request cannot be upgraded to a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// It does not request an upgrade to WebSocket.
    #[error("this is a WebSocket endpoint: an upgrade is required")]
    NotWebSocket,
    /// Its version is not 13.
    #[error("only version 13 of the WebSocket protocol is supported")]
    Version,
    /// Its method is not GET.
    #[error("a WebSocket handshake is a GET request")]
    Method,
    /// It is not HTTP/1.1.
    #[error("a WebSocket handshake is an HTTP/1.1 request")]
    HttpVersion,
    /// `Sec-WebSocket-Key` is missing or not 16 bytes in Base64.
    #[error("the Sec-WebSocket-Key header is not 16 bytes in Base64")]
    Key,
}

impl HandshakeError {
    /// The HTTP status of the refusal.
    pub fn status(&self) -> StatusCode {
        match self {
            HandshakeError::NotWebSocket | HandshakeError::Version => StatusCode::UPGRADE_REQUIRED,
            HandshakeError::Method => StatusCode::METHOD_NOT_ALLOWED,
            HandshakeError::HttpVersion | HandshakeError::Key => StatusCode::BAD_REQUEST,
        }
    }
}

/// Returns true if a request attempts an upgrade, valid or not.
pub fn is_upgrade(headers: &HeaderMap) -> bool {
    lists(headers, header::UPGRADE, "websocket") && lists(headers, header::CONNECTION, "upgrade")
}

/// Validates a request and computes the `Sec-WebSocket-Accept` header of the response.
pub fn accept(headers: &HeaderMap, method: &Method, version: Version) -> Result<HeaderValue, HandshakeError> {
    if !is_upgrade(headers) {
        return Err(HandshakeError::NotWebSocket);
    }
    if method != Method::GET {
        return Err(HandshakeError::Method);
    }
    if version != Version::HTTP_11 {
        return Err(HandshakeError::HttpVersion);
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version.as_bytes() != b"13") {
        return Err(HandshakeError::Version);
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).ok_or(HandshakeError::Key)?.as_bytes();
    if STANDARD.decode(key).map_or(0, |nonce| nonce.len()) != 16 {
        return Err(HandshakeError::Key);
    }
    let mut digest = Sha1::from(key);
    digest.update(KEY_SUFFIX.as_bytes());
    Ok(HeaderValue::try_from(STANDARD.encode(digest.digest().bytes())).expect("Base64 is a valid header"))
}

/// Returns true if a comma-separated header contains a token, ignoring case.
fn lists(headers: &HeaderMap, name: header::HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|item| item.trim().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(change: impl FnOnce(&mut HeaderMap)) -> Result<HeaderValue, HandshakeError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONNECTION, HeaderValue::from_static("keep-alive, Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("WebSocket"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        headers.insert(header::SEC_WEBSOCKET_KEY, HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
        change(&mut headers);
        accept(&headers, &Method::GET, Version::HTTP_11)
    }

    #[test]
    fn the_example_of_the_rfc_is_accepted() {
        assert_eq!(request(|_| ()).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_plain_request_and_a_wrong_version_are_refused_with_426() {
        let plain = request(|headers| drop(headers.remove(header::UPGRADE))).unwrap_err();
        assert_eq!((plain.status(), plain), (StatusCode::UPGRADE_REQUIRED, HandshakeError::NotWebSocket));
        for version in ["12", "13, 8", ""] {
            let version = HeaderValue::from_static(version);
            let error = request(|headers| drop(headers.insert(header::SEC_WEBSOCKET_VERSION, version)));
            assert_eq!(error.unwrap_err().status(), StatusCode::UPGRADE_REQUIRED);
        }
    }

    #[test]
    fn a_key_that_is_not_16_bytes_is_refused() {
        for key in ["", "dGhlIHNhbXBsZSBub25j", "not base64 at all!!", "dGhlIHNhbXBsZSBub25jZQ"] {
            let key = HeaderValue::from_static(key);
            let error = request(|headers| drop(headers.insert(header::SEC_WEBSOCKET_KEY, key))).unwrap_err();
            assert_eq!((error.status(), error), (StatusCode::BAD_REQUEST, HandshakeError::Key));
        }
        assert_eq!(
            request(|headers| drop(headers.remove(header::SEC_WEBSOCKET_KEY))),
            Err(HandshakeError::Key)
        );
    }
}
