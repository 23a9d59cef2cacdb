//! Which clients may connect, and where a client really is behind proxies.

use std::net::IpAddr;

use http::{HeaderMap, header};
use ipnet::IpNet;

/// Which clients may connect, and which proxies are trusted.
///
/// ```
/// use switchboard::{App, AcceptOptions};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let options = AcceptOptions {
///     allowed_origins: Some(vec!["https://chat.example".into()]),
///     trusted_proxies: vec!["10.0.0.0/8".parse()?],
/// };
/// let app = App::new().with_accept_options(options);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Default)]
pub struct AcceptOptions {
    /// Origins that pages may connect from, such as `https://example.com`; others are refused with
    /// 403. A client that sends no origin is no page and may connect. Default: `None`, any origin.
    pub allowed_origins: Option<Vec<String>>,
    /// Proxies whose `x-forwarded-for` and `x-forwarded-proto` are trusted. The client's address is the
    /// last in the list that is not a trusted proxy's, so addresses that a client adds itself do not
    /// count. Default: empty.
    pub trusted_proxies: Vec<IpNet>,
}

/// The address of a client, and whether it uses TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) ip: Option<IpAddr>,
    pub(crate) is_secure: bool,
}

impl AcceptOptions {
    /// Whether a page of the request's origin may connect.
    pub(crate) fn allows_origin(&self, headers: &HeaderMap) -> bool {
        match (&self.allowed_origins, headers.get(header::ORIGIN)) {
            (Some(allowed), Some(origin)) => allowed.iter().any(|one| one.as_bytes() == origin.as_bytes()),
            _ => true,
        }
    }

    /// The client behind a request that arrived from `peer`.
    pub(crate) fn origin(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Origin {
        let is_trusted = |ip: &IpAddr| self.trusted_proxies.iter().any(|net| net.contains(ip));
        if !peer.is_some_and(|ip| is_trusted(&ip)) {
            return Origin { ip: peer, is_secure: false };
        }
        let proto = headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok());
        Origin { ip: forwarded_for(headers, is_trusted).or(peer), is_secure: proto == Some("https") }
    }
}

/// The client as the outermost trusted proxy saw it. Every proxy appends the address of its peer, so
/// the list is reliable from its end up to the first address that is not trusted.
fn forwarded_for(headers: &HeaderMap, trusted: impl Fn(&IpAddr) -> bool) -> Option<IpAddr> {
    let lists = headers.get_all("x-forwarded-for").iter().rev().map_while(|list| list.to_str().ok());
    let mut seen = None;
    for entry in lists.flat_map(|list| list.rsplit(',')) {
        let Ok(ip) = entry.trim().parse::<IpAddr>() else { break };
        seen = Some(ip.to_canonical());
        if !trusted(&ip.to_canonical()) {
            break;
        }
    }
    seen
}
