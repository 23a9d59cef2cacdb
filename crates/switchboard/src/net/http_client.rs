//! The client of a plain HTTP request.

use std::net::IpAddr;

/// The client of a plain HTTP request, as trusted proxies report it. Every request to the router of
/// [`App::with_http`](crate::App::with_http) has one among its extensions.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use axum::{Extension, Router, routing::get};
/// use switchboard::App;
/// use switchboard::net::HttpClient;
///
/// async fn address(Extension(client): Extension<HttpClient>) -> String {
///     format!("{:?}", client.ip())
/// }
///
/// let app = App::new().with_http(Router::new().route("/address", get(address)));
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpClient {
    pub(crate) ip: Option<IpAddr>,
    pub(crate) is_secure: bool,
    pub(crate) is_proxied: bool,
    pub(crate) host: Option<String>,
}

impl HttpClient {
    /// The client's address; `None` if the transport has no addresses.
    pub fn ip(&self) -> Option<IpAddr> {
        self.ip
    }

    /// Returns true if the client uses TLS: with this server, or with a trusted proxy, as that reports.
    pub fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// Returns true if the request came from a trusted proxy.
    pub fn is_proxied(&self) -> bool {
        self.is_proxied
    }

    /// The host that the client named, if a trusted proxy reports it in `x-forwarded-host` or `forwarded`. Otherwise
    /// the `Host` of the request counts. It is text from outside: check it before use.
    pub fn reported_host(&self) -> Option<&str> {
        self.host.as_deref()
    }
}
