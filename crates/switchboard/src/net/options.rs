//! Rules for accepting clients: allowed origins, and trusted proxies that report client addresses.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::{self, HeaderName};
use ipnet::IpNet;

/// Allowed origins of pages, and trusted proxies.
///
/// ```
/// use switchboard::{App, AcceptOptions};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let options = AcceptOptions {
///     allowed_origins: Some(vec!["https://chat.example".into()]),
///     trusted_proxies: vec!["10.0.0.0/8".parse()?],
///     kept_headers: vec!["accept-language".parse()?],
/// };
/// let app = App::new().with_accept_options(options);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct AcceptOptions {
    /// Origins whose pages may connect, such as `https://example.com`. Other origins are refused with
    /// 403. A client without an `Origin` header is not a page and may connect. Default: `None`, which
    /// allows any origin.
    pub allowed_origins: Option<Vec<String>>,
    /// Proxies whose `x-forwarded-for` and `x-forwarded-proto` headers are trusted. The client's address
    /// is the last one in the list that does not belong to a trusted proxy, so a client cannot forge it.
    /// Default: empty.
    pub trusted_proxies: Vec<IpNet>,
    /// Headers of the handshake that handlers can read with [`Info::header`](crate::Info::header); all others are
    /// dropped after the handshake, because every connection would keep them in memory. Default: `authorization`,
    /// `cookie`, `origin`.
    pub kept_headers: Vec<HeaderName>,
}

impl Default for AcceptOptions {
    fn default() -> Self {
        let kept_headers = vec![header::AUTHORIZATION, header::COOKIE, header::ORIGIN];
        AcceptOptions { allowed_origins: None, trusted_proxies: Vec::new(), kept_headers }
    }
}

/// The address of a client, and whether it connected with TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientAddress {
    pub(crate) ip: Option<IpAddr>,
    /// Limits per address apply: it is neither this machine nor a trusted proxy, which stand for many clients.
    pub(crate) is_counted: bool,
    pub(crate) is_secure: bool,
}

impl AcceptOptions {
    /// Returns true if the request's origin is allowed, or if the request has none.
    pub(crate) fn allows_origin(&self, headers: &HeaderMap) -> bool {
        match (&self.allowed_origins, headers.get(header::ORIGIN)) {
            (Some(allowed), Some(origin)) => allowed.iter().any(|one| one.as_bytes() == origin.as_bytes()),
            _ => true,
        }
    }

    /// The address of the client that sent a request, which arrived from `peer`.
    pub(crate) fn client_address(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> ClientAddress {
        let is_trusted = |ip: &IpAddr| self.trusted_proxies.iter().any(|net| net.contains(ip));
        if !peer.is_some_and(|ip| is_trusted(&ip)) {
            return ClientAddress {
                ip: peer,
                is_counted: peer.is_some_and(|ip| self.is_counted(ip)),
                is_secure: false,
            };
        }
        let ip = forwarded_for(headers, is_trusted).or(peer);
        let proto = headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok());
        let is_counted = ip.is_some_and(|ip| !is_trusted(&ip));
        ClientAddress { ip, is_counted, is_secure: proto == Some("https") }
    }

    /// Returns true if limits per address apply to connections from this peer.
    pub(crate) fn is_counted(&self, peer: IpAddr) -> bool {
        !peer.is_loopback() && !self.trusted_proxies.iter().any(|net| net.contains(&peer))
    }
}

/// The client's address as the outermost trusted proxy reported it. Every proxy appends the address of
/// its peer, so the list is reliable from its end to the first address that is not trusted.
fn forwarded_for(headers: &HeaderMap, is_trusted: impl Fn(&IpAddr) -> bool) -> Option<IpAddr> {
    let lists = headers.get_all("x-forwarded-for").iter().rev().map_while(|list| list.to_str().ok());
    let mut client = None;
    for entry in lists.flat_map(|list| list.rsplit(',')) {
        let Ok(ip) = entry.trim().parse::<IpAddr>() else { break };
        client = Some(ip.to_canonical());
        if !is_trusted(&ip.to_canonical()) {
            break;
        }
    }
    client
}
