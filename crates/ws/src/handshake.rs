//! The opening handshake.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderName};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
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
    /// `Host` is missing, repeated or not a host.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A header that may appear once is repeated.
    #[error("the {0} header is repeated")]
    Repeated(HeaderName),
    /// The request has a body, which would be read as frames.
    #[error("a WebSocket handshake has no body")]
    Body,
}

/// The `Host` header of an HTTP/1.1 request is not valid (RFC 9112, section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request needs exactly one Host header with a valid host")]
pub struct HostError;

impl HandshakeError {
    /// The HTTP status of the refusal.
    pub fn status(&self) -> StatusCode {
        match self {
            HandshakeError::NotWebSocket | HandshakeError::Version => StatusCode::UPGRADE_REQUIRED,
            HandshakeError::Method => StatusCode::METHOD_NOT_ALLOWED,
            HandshakeError::HttpVersion
            | HandshakeError::Key
            | HandshakeError::Host(_)
            | HandshakeError::Repeated(_)
            | HandshakeError::Body => StatusCode::BAD_REQUEST,
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
    if version == Version::HTTP_11 {
        check_host(headers)?;
    }
    if method != Method::GET {
        return Err(HandshakeError::Method);
    }
    if version != Version::HTTP_11 {
        return Err(HandshakeError::HttpVersion);
    }
    let key = single(headers, header::SEC_WEBSOCKET_KEY)?;
    let version = single(headers, header::SEC_WEBSOCKET_VERSION)?;
    single(headers, header::ORIGIN)?;
    let body_len = single(headers, header::CONTENT_LENGTH)?;
    if headers.contains_key(header::TRANSFER_ENCODING) || body_len.is_some_and(|len| len.as_bytes() != b"0") {
        return Err(HandshakeError::Body);
    }
    if version.is_none_or(|version| version.as_bytes() != b"13") {
        return Err(HandshakeError::Version);
    }
    let key = key.ok_or(HandshakeError::Key)?.as_bytes();
    if STANDARD.decode(key).map_or(0, |nonce| nonce.len()) != 16 {
        return Err(HandshakeError::Key);
    }
    let mut digest = Sha1::from(key);
    digest.update(KEY_SUFFIX.as_bytes());
    Ok(HeaderValue::try_from(STANDARD.encode(digest.digest().bytes())).expect("Base64 is a valid header"))
}

/// Checks the `Host` header of any HTTP/1.1 request: exactly one, which is empty or a host with an optional port.
pub fn check_host(headers: &HeaderMap) -> Result<(), HostError> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return Err(HostError) };
    let host = host.as_bytes();
    let is_host = !host.contains(&b'@') && Authority::try_from(host).is_ok();
    if host.is_empty() || is_host { Ok(()) } else { Err(HostError) }
}

/// The value of a header that a handshake has at most once. Two different values could be read differently by a proxy.
fn single(headers: &HeaderMap, name: HeaderName) -> Result<Option<&HeaderValue>, HandshakeError> {
    let mut values = headers.get_all(&name).iter();
    let value = values.next();
    if values.next().is_some() { Err(HandshakeError::Repeated(name)) } else { Ok(value) }
}

/// Returns true if a comma-separated header contains a token, ignoring case.
fn lists(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
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
        headers.insert(header::HOST, HeaderValue::from_static("chat.example:3000"));
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

    #[test]
    fn a_host_that_is_missing_repeated_or_invalid_is_refused_with_400() {
        let host = |hosts: &'static [&'static str]| {
            request(|headers| {
                headers.remove(header::HOST);
                for host in hosts {
                    headers.append(header::HOST, HeaderValue::from_static(host));
                }
            })
        };
        for valid in ["", "chat.example", "a_service:80", "127.0.0.1:3000", "[::1]:3000"] {
            let hosts: &'static [&'static str] = Box::leak(Box::new([valid]));
            assert!(host(hosts).is_ok(), "{valid}");
        }
        for invalid in [
            &[][..],
            &["a.example", "a.example"],
            &["a b"],
            &["user@a.example"],
            &["a.example/path"],
            &["[::1"],
        ] {
            let error = host(invalid).unwrap_err();
            assert_eq!(
                (error.status(), error),
                (StatusCode::BAD_REQUEST, HandshakeError::Host(HostError)),
                "{invalid:?}"
            );
        }
    }

    #[test]
    fn a_repeated_header_with_one_value_is_refused_with_400_and_a_list_may_be_repeated() {
        for (name, value) in [
            (header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
            (header::SEC_WEBSOCKET_VERSION, "13"),
            (header::ORIGIN, "https://a.example"),
            (header::CONTENT_LENGTH, "0"),
        ] {
            let repeat = |headers: &mut HeaderMap| {
                headers.insert(&name, HeaderValue::from_static(value));
                headers.append(&name, HeaderValue::from_static(value));
            };
            let error = request(repeat).unwrap_err();
            assert_eq!((error.status(), error), (StatusCode::BAD_REQUEST, HandshakeError::Repeated(name)));
        }
        let split = |headers: &mut HeaderMap| {
            headers.insert(header::CONNECTION, HeaderValue::from_static("keep-alive"));
            headers.append(header::CONNECTION, HeaderValue::from_static("upgrade"));
            headers.append(header::UPGRADE, HeaderValue::from_static("h2c"));
            headers.append(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("a"));
            headers.append(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("b"));
        };
        assert!(request(split).is_ok());
    }

    #[test]
    fn a_handshake_with_a_body_is_refused_with_400() {
        for (name, value) in [(header::CONTENT_LENGTH, "5"), (header::TRANSFER_ENCODING, "chunked")] {
            let error =
                request(|headers| drop(headers.insert(name, HeaderValue::from_static(value)))).unwrap_err();
            assert_eq!((error.status(), error), (StatusCode::BAD_REQUEST, HandshakeError::Body));
        }
        let empty = HeaderValue::from_static("0");
        assert!(request(|headers| drop(headers.insert(header::CONTENT_LENGTH, empty))).is_ok());
    }
}
