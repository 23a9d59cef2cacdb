//! The handshake of a connection: path, query, headers, client address.

use std::borrow::Cow;
use std::net::IpAddr;

use http::HeaderMap;
use http::header::HeaderName;
use serde_json::{Map, Value};

/// Path, query, headers and address of a connection. Handlers get it as a parameter, or with
/// [`Socket::info`](crate::Socket::info).
///
/// Stored in one allocation, because a server holds one for each idle socket.
///
/// ```
/// # async fn example(info: switchboard::ConnectionInfo) -> switchboard::Reply<bool> {
/// # use serde_json::json;
/// // A page of https://chat.example opened /chat?room=the%20lobby&tag=new&tag=vip
/// assert_eq!(info.path(), "/chat");
/// assert_eq!(info.query("room").as_deref(), Some("the lobby"));
/// assert_eq!(info.query_json(), json!({ "room": "the lobby", "tag": ["new", "vip"] }));
/// assert_eq!(info.header("Origin"), Some("https://chat.example"));
/// assert_eq!(info.ip(), Some([127, 0, 0, 1].into()));
/// # assert_eq!(info.raw_query(), "room=the%20lobby&tag=new&tag=vip");
/// # assert_eq!((info.query("token"), info.header("cookie")), (None, None));
/// # assert_eq!(info.query_pairs().filter(|(name, _)| name == "tag").count(), 2);
/// # assert!(info.headers().any(|(name, _)| name == "origin"));
/// # assert_eq!((info.origin(), info.secure()), (Some("https://chat.example"), false));
/// # switchboard::Reply(true) }
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// # let app = switchboard::App::new().on("/info", example);
/// # let server = switchboard_testkit::TestServer::start(app).await;
/// # let url = server.url("/chat?room=the%20lobby&tag=new&tag=vip");
/// # let origin = [("origin", "https://chat.example")];
/// # let mut peer = switchboard_testkit::Peer::try_connect(&url, &origin).await.unwrap();
/// # assert_eq!(peer.request("/info", serde_json::json!({})).await, true);
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ConnectionInfo {
    ip: Option<IpAddr>,
    secure: bool,
    path_len: u16,
    /// Path and query, then one line `name: value` for each header.
    text: Box<str>,
    uri_len: u16,
}

impl ConnectionInfo {
    /// Stores the headers with the names in `kept`.
    pub(crate) fn new(
        uri: &http::Uri,
        headers: &HeaderMap,
        kept: &[HeaderName],
        ip: Option<IpAddr>,
        secure: bool,
    ) -> Self {
        let path = uri.path();
        let mut text = uri.path_and_query().map_or_else(|| path.to_owned(), |uri| uri.to_string());
        let uri_len = text.len();
        for (name, value) in headers.iter().filter(|(name, _)| kept.contains(name)) {
            text.push_str(name.as_str());
            text.push_str(": ");
            text.push_str(&String::from_utf8_lossy(value.as_bytes()));
            text.push('\n');
        }
        // The lengths fit: hyper refuses URIs of more than 65,534 bytes.
        ConnectionInfo { ip, secure, path_len: path.len() as u16, uri_len: uri_len as u16, text: text.into() }
    }

    /// Path `/` without query, headers or address, for connections without an HTTP handshake.
    pub(crate) fn empty() -> Self {
        ConnectionInfo::new(&http::Uri::from_static("/"), &HeaderMap::new(), &[], None, false)
    }

    /// The path without the query.
    ///
    /// ```no_run
    /// # fn example(info: &switchboard::ConnectionInfo) {
    /// println!("connected to {}", info.path()); // such as `/chat`
    /// # }
    /// ```
    pub fn path(&self) -> &str {
        &self.text[..self.path_len.into()]
    }

    /// The query in its encoded form, without the question mark.
    ///
    /// ```no_run
    /// # fn example(info: &switchboard::ConnectionInfo) {
    /// println!("query {}", info.raw_query()); // such as `room=lobby&tag=new&tag=vip`
    /// # }
    /// ```
    pub fn raw_query(&self) -> &str {
        self.text[self.path_len.into()..self.uri_len.into()].trim_start_matches('?')
    }

    /// The first value of a query parameter, decoded.
    ///
    /// ```no_run
    /// # fn example(info: &switchboard::ConnectionInfo) {
    /// let room = info.query("room").unwrap_or("lobby".into());
    /// # }
    /// ```
    pub fn query(&self, name: &str) -> Option<Cow<'_, str>> {
        self.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Returns true if the client connects with `?sb=1`: it understands Switchboard's additions to its protocol.
    pub(crate) fn understands_extensions(&self) -> bool {
        self.raw_query().contains("sb=1") && self.query("sb").as_deref() == Some("1")
    }

    /// Returns true if the client connects with `?resume=0`: it would not come back to a session that is kept for it.
    pub(crate) fn declines_resume(&self) -> bool {
        self.raw_query().contains("resume=0") && self.query("resume").as_deref() == Some("0")
    }

    /// All query parameters in order, decoded.
    ///
    /// ```no_run
    /// # fn example(info: &switchboard::ConnectionInfo) {
    /// let tags = info.query_pairs().filter(|(name, _)| name == "tag").map(|(_, tag)| tag);
    /// # }
    /// ```
    pub fn query_pairs(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        form_urlencoded::parse(self.raw_query().as_bytes())
    }

    /// The query as a JSON object: a string for each parameter, or an array of strings if it is repeated.
    ///
    /// ```no_run
    /// # fn example(info: &switchboard::ConnectionInfo) {
    /// // `?room=lobby&tag=new&tag=vip`
    /// assert_eq!(info.query_json()["tag"], serde_json::json!(["new", "vip"]));
    /// # }
    /// ```
    pub fn query_json(&self) -> Value {
        let mut map = Map::new();
        for (name, value) in self.query_pairs() {
            let value = Value::from(value);
            match map.get_mut(&*name) {
                None => drop(map.insert(name.into_owned(), value)),
                Some(Value::Array(values)) => values.push(value),
                Some(first) => *first = Value::Array(vec![first.take(), value]),
            }
        }
        Value::Object(map)
    }

    /// The first header with this name, ignoring case. Invalid UTF-8 is replaced. Only the headers in
    /// [`AcceptOptions::kept_headers`](crate::net::AcceptOptions::kept_headers) are available: by default `authorization`,
    /// `cookie` and `origin`.
    ///
    /// ```no_run
    /// # fn example(info: &switchboard::ConnectionInfo) {
    /// let session = info.header("Cookie").and_then(|cookies| cookies.strip_prefix("session="));
    /// # }
    /// ```
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All kept headers, with names in lower case.
    ///
    /// ```no_run
    /// # fn example(info: &switchboard::ConnectionInfo) {
    /// for (name, value) in info.headers() {
    ///     println!("{name}: {value}");
    /// }
    /// # }
    /// ```
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.text[self.uri_len.into()..].lines().filter_map(|line| line.split_once(": "))
    }

    /// The client's address: the peer's, or the one that a trusted proxy reports. `None` if the transport
    /// has no addresses.
    ///
    /// ```no_run
    /// # fn example(info: &switchboard::ConnectionInfo) {
    /// let is_local = info.ip().is_some_and(|ip| ip.is_loopback());
    /// # }
    /// ```
    pub fn ip(&self) -> Option<IpAddr> {
        self.ip
    }

    /// The origin of the page that opened the connection, sent by browsers.
    ///
    /// ```no_run
    /// # fn example(info: &switchboard::ConnectionInfo) {
    /// let is_ours = info.origin() == Some("https://chat.example");
    /// # }
    /// ```
    pub fn origin(&self) -> Option<&str> {
        self.header("origin")
    }

    /// Returns true if the client uses TLS: with this server, or with a trusted proxy, as that reports.
    ///
    /// ```no_run
    /// # fn example(info: &switchboard::ConnectionInfo) {
    /// if !info.secure() {
    ///     println!("{} is not encrypted", info.path());
    /// }
    /// # }
    /// ```
    pub fn secure(&self) -> bool {
        self.secure
    }
}

#[cfg(test)]
mod tests {
    use http::header;

    use super::*;

    fn info(uri: &str) -> ConnectionInfo {
        let mut headers = HeaderMap::new();
        headers.insert("Origin", "http://a.example".parse().unwrap());
        headers.insert("Sec-WebSocket-Key", "x".parse().unwrap());
        ConnectionInfo::new(&uri.parse().unwrap(), &headers, &[header::ORIGIN], None, false)
    }

    #[test]
    fn a_repeated_query_parameter_becomes_an_array() {
        let info = info("/a/b?x=1&y=%20&x=2&x=3");
        assert_eq!(info.path(), "/a/b");
        assert_eq!(info.query("x").as_deref(), Some("1"));
        assert_eq!(info.query_json(), serde_json::json!({ "x": ["1", "2", "3"], "y": " " }));
    }

    #[test]
    fn only_the_kept_headers_are_stored() {
        let info = info("/");
        assert_eq!(info.origin(), Some("http://a.example"));
        assert_eq!(info.headers().count(), 1);
        assert_eq!(info.query_json(), serde_json::json!({}));
    }
}
