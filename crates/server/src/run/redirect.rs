//! The listener for plain HTTP that sends browsers to the encrypted address.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, Uri, header};

/// Longest host name with a port.
const HOST_BYTES_MAX: usize = 260;

/// Redirects every request to the same host and path at `https://` on this port.
pub(super) fn routes(port: u16) -> Router {
    Router::new().fallback(redirect).with_state(port)
}

async fn redirect(State(port): State<u16>, headers: HeaderMap, uri: Uri) -> Response {
    match location(&headers, &uri, port) {
        Some(location) => (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, location)]).into_response(),
        None => (StatusCode::BAD_REQUEST, "the request names no host\n").into_response(),
    }
}

/// The encrypted address of a request; `None` if it names no host.
fn location(headers: &HeaderMap, uri: &Uri, port: u16) -> Option<String> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    if host.is_empty() || host.len() > HOST_BYTES_MAX || !host.bytes().all(is_allowed) {
        return None;
    }
    let host = match host.strip_prefix('[') {
        Some(rest) => &host[..rest.find(']')? + 2],
        None => host.split(':').next().filter(|name| !name.is_empty())?,
    };
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Some(format!("https://{host}{port}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_sent_to_the_same_host_and_path() {
        for (host, path, port, expected) in [
            ("chat.example", "/", 443, Some("https://chat.example/")),
            ("chat.example:80", "/a/b?c=d&e", 443, Some("https://chat.example/a/b?c=d&e")),
            ("127.0.0.1:8080", "/", 3000, Some("https://127.0.0.1:3000/")),
            ("[::1]:80", "/x", 3000, Some("https://[::1]:3000/x")),
            ("[::1]", "/", 443, Some("https://[::1]/")),
            ("", "/", 443, None),
            (":80", "/", 443, None),
            ("[::1", "/", 443, None),
            ("user@evil.example", "/", 443, None),
            ("a/b", "/", 443, None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            assert_eq!(location(&headers, &path.parse().unwrap(), port).as_deref(), expected, "{host}");
        }
        assert_eq!(location(&HeaderMap::new(), &Uri::from_static("/"), 443), None);
    }
}
