//! Rules for accepting clients: allowed origins, and trusted proxies that report client addresses.

use std::net::IpAddr;
use std::sync::{Arc, RwLock};

use http::HeaderMap;
use http::header::{self, HeaderName};
use ipnet::IpNet;

use crate::net::forwarded::{ForwardedHeader, ReportError, Reported, reported};
use crate::net::origin::Origin;

/// Allowed origins of pages, and trusted proxies.
///
/// ```
/// use switchboard::App;
/// use switchboard::net::AcceptOptions;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let options = AcceptOptions {
///     allowed_origins: Some(vec!["https://chat.example".parse()?]),
///     trusted_proxies: vec!["10.0.0.0/8".parse()?],
///     kept_headers: vec!["accept-language".parse()?],
///     ..AcceptOptions::default()
/// };
/// let app = App::new().with_accept_options(options);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct AcceptOptions {
    /// Origins whose pages may connect, such as `https://example.com`. Other origins are refused with
    /// 403. A client without an `Origin` header is not a page and may connect. Default: `None`, which
    /// allows any origin.
    pub allowed_origins: Option<Vec<Origin>>,
    /// Proxies whose `x-forwarded-for`, `x-forwarded-proto` and `forwarded` headers are trusted. The
    /// client's address is the last one in the list that does not belong to a trusted proxy, so a client
    /// cannot forge it. Default: empty.
    pub trusted_proxies: Vec<IpNet>,
    /// The header in which the proxies report the client's address. Default: `None`, either. If a
    /// request has both and they name different clients, the address is unknown.
    pub forwarded_header: Option<ForwardedHeader>,
    /// Headers of the handshake that handlers can read with [`ConnectionInfo::header`](crate::ConnectionInfo::header); all others are
    /// dropped after the handshake, because every connection would keep them in memory. Default: `authorization`,
    /// `cookie`, `origin`.
    pub kept_headers: Vec<HeaderName>,
    /// The cookie that holds a token of emit and Koji clients. Pages of another host than the server's may connect with
    /// it only if `allowed_origins` contains their origin; otherwise they are refused with 403. Default: `None`.
    pub token_cookie: Option<String>,
}

impl Default for AcceptOptions {
    fn default() -> Self {
        let kept_headers = vec![header::AUTHORIZATION, header::COOKIE, header::ORIGIN];
        AcceptOptions {
            allowed_origins: None,
            trusted_proxies: Vec::new(),
            forwarded_header: None,
            kept_headers,
            token_cookie: None,
        }
    }
}

/// The address of a client, and whether it connected with TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientAddress {
    /// If trusted proxies reported an address that cannot be used, it is that of the outermost known
    /// proxy.
    pub(crate) ip: Option<IpAddr>,
    /// Limits per address apply: it is neither this machine nor a trusted proxy, which stand for many clients.
    pub(crate) is_counted: bool,
    pub(crate) is_secure: bool,
    pub(crate) error: Option<ReportError>,
}

/// The app's options, which can be replaced.
#[derive(Default)]
pub(crate) struct CurrentOptions(RwLock<Arc<AcceptOptions>>);

impl CurrentOptions {
    pub(crate) fn get(&self) -> Arc<AcceptOptions> {
        self.0.read().expect("no code that holds the options panics").clone()
    }

    pub(crate) fn set(&self, options: AcceptOptions) {
        *self.0.write().expect("no code that holds the options panics") = Arc::new(options);
    }
}

impl AcceptOptions {
    /// Returns true if the request's origin is allowed, or if the request has none.
    pub(crate) fn allows_origin(&self, headers: &HeaderMap) -> bool {
        match (&self.allowed_origins, headers.get(header::ORIGIN)) {
            (Some(allowed), Some(sent)) => allowed.iter().any(|origin| origin.is_sent_as(sent)),
            _ => true,
        }
    }

    /// The address of the client that sent a request, which arrived from `peer`. `is_encrypted`: through TLS of this
    /// server.
    pub(crate) fn client_address(
        &self,
        peer: Option<IpAddr>,
        is_encrypted: bool,
        headers: &HeaderMap,
    ) -> ClientAddress {
        let is_trusted = |ip: &IpAddr| self.is_trusted(Some(*ip));
        if !self.is_trusted(peer) {
            let is_counted = peer.is_some_and(|ip| self.is_counted(ip));
            return ClientAddress { ip: peer, is_counted, is_secure: is_encrypted, error: None };
        }
        let Reported { ip, is_secure, error } = reported(headers, self.forwarded_header, is_trusted);
        let ip = ip.or(peer);
        // Clients whose address is unknown share the limits of one address, or they could evade them with a
        // header of their own.
        let is_counted = error.is_some() || ip.is_some_and(|ip| !is_trusted(&ip));
        ClientAddress { ip, is_counted, is_secure, error }
    }

    /// Returns true if this peer is a trusted proxy.
    pub(crate) fn is_trusted(&self, peer: Option<IpAddr>) -> bool {
        peer.is_some_and(|ip| self.trusted_proxies.iter().any(|net| net.contains(&ip)))
    }

    /// Returns true if limits per address apply to connections from this peer.
    pub(crate) fn is_counted(&self, peer: IpAddr) -> bool {
        !peer.is_loopback() && !self.is_trusted(Some(peer))
    }
}
