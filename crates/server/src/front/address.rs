//! The address under which a browser reached this server, and whether it runs on the same machine.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, header};
use switchboard::net::HttpClient;

/// Longest host name with a port.
const AUTHORITY_BYTES_MAX: usize = 260;

/// Scheme and authority of an address. The authority consists of letters, digits, and `.`, `-`, `_`, `:`, `[`, `]` only,
/// so it has the same meaning in HTML, in a string of JavaScript and in a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    is_secure: bool,
    authority: String,
}

impl Address {
    /// The address that a request names; `None` if it names none, or one with other characters.
    pub(super) fn of(client: &HttpClient, headers: &HeaderMap) -> Option<Self> {
        let host = client.reported_host().or_else(|| host(headers))?;
        Some(Address { is_secure: client.is_secure(), authority: authority(host)? })
    }

    /// The address of a listener. A browser on the same machine reaches one on all addresses at loopback.
    pub(super) fn of_listener(address: SocketAddr, is_secure: bool) -> Self {
        let ip = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from(std::net::Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        Address { is_secure, authority: SocketAddr::new(ip, address.port()).to_string() }
    }

    /// Host and port, without a port that is the scheme's default.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// The address of this server's page.
    pub(super) fn page(&self) -> String {
        format!("{}://{}/", if self.is_secure { "https" } else { "http" }, self.authority)
    }

    /// Returns true if it is the address of this machine for itself only.
    pub(super) fn is_loopback(&self) -> bool {
        names_this_machine(&self.authority)
    }

    /// The address of WebSockets at a path.
    pub(super) fn websocket(&self, path: &str) -> String {
        format!("{}://{}{path}", if self.is_secure { "wss" } else { "ws" }, self.authority)
    }
}

/// Returns true if the browser runs on this machine: it connected from loopback, not through a proxy that is not trusted,
/// and names this machine. A page of another site that resolves its own name to loopback does not.
pub(super) fn is_local(client: &HttpClient, headers: &HeaderMap) -> bool {
    let forwarding = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"];
    let is_direct = client.is_proxied() || !forwarding.iter().any(|name| headers.contains_key(*name));
    let host = client.reported_host().or_else(|| host(headers));
    is_direct && client.ip().is_some_and(|ip| ip.is_loopback()) && host.is_some_and(names_this_machine)
}

/// The only `Host` of a request.
fn host(headers: &HeaderMap) -> Option<&str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next()?.to_str().ok()?;
    hosts.next().is_none().then_some(host)
}

/// A host name or an IP address, with or without a port.
fn authority(text: &str) -> Option<String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    if text.len() > AUTHORITY_BYTES_MAX || !text.bytes().all(is_allowed) {
        return None;
    }
    let (host, port) = split_port(text)?;
    let is_v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).is_some_and(is_v6);
    let is_name = !host.is_empty() && !host.contains([':', '[', ']']);
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    ((is_v6 || is_name) && is_port).then(|| text.to_ascii_lowercase())
}

fn is_v6(text: &str) -> bool {
    text.parse::<std::net::Ipv6Addr>().is_ok()
}

/// Host and port of an authority.
fn split_port(text: &str) -> Option<(&str, Option<&str>)> {
    let end = if text.starts_with('[') { text.find(']')? + 1 } else { text.find(':').unwrap_or(text.len()) };
    let (host, rest) = text.split_at(end);
    match rest.strip_prefix(':') {
        Some(port) => Some((host, Some(port))),
        None => rest.is_empty().then_some((host, None)),
    }
}

fn names_this_machine(authority: &str) -> bool {
    let Some((host, _)) = split_port(authority) else { return false };
    let name = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
    let is_loopback = name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
    is_loopback || name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_a_name_or_an_ip_address_with_or_without_a_port() {
        for good in [
            "localhost",
            "localhost:3000",
            "chat.example",
            "CHAT.example:443",
            "a_b-c.example.",
            "127.0.0.1:3000",
            "[::1]",
            "[::1]:3000",
            "[2001:db8::1]:65535",
        ] {
            assert_eq!(authority(good), Some(good.to_ascii_lowercase()), "{good}");
        }
        for bad in [
            "",
            ":3000",
            "localhost:",
            "localhost:0",
            "localhost:65536",
            "localhost:3000:1",
            "::1",
            "[::1",
            "[::1]x",
            "[x]",
            "[]:1",
            "a/b",
            "a?b",
            "a#b",
            "user@host",
            "a b",
            "a\"b",
            "a'b",
            "a`b",
            "a\\b",
            "a;b",
            "${a}",
            "<script>alert(1)</script>",
            "\"><img src=x onerror=alert(1)>",
            "b\u{e4}r.example",
            "a\u{0}b",
            "a&b",
            "{{version}}",
        ] {
            assert_eq!(authority(bad), None, "{bad}");
        }
        assert_eq!(authority(&"a".repeat(AUTHORITY_BYTES_MAX + 1)), None);
    }

    #[test]
    fn this_machine_is_named_by_loopback_addresses_and_localhost() {
        for local in [
            "localhost",
            "LOCALHOST:1",
            "a.localhost:3000",
            "localhost.",
            "127.0.0.1",
            "127.9.9.9:1",
            "[::1]:1",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(names_this_machine(local), "{local}");
        }
        for other in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "[::2]",
            "notlocalhost",
        ] {
            assert!(!names_this_machine(other), "{other}");
        }
    }

    #[test]
    fn a_listener_on_all_addresses_is_shown_as_loopback() {
        for (listener, address) in [
            ("0.0.0.0:3000", "ws://127.0.0.1:3000/"),
            ("[::]:3000", "ws://[::1]:3000/"),
            ("10.0.0.1:80", "ws://10.0.0.1:80/"),
        ] {
            let listener = listener.parse().unwrap();
            assert_eq!(Address::of_listener(listener, false).websocket("/"), address);
            assert_eq!(Address::of_listener(listener, true).websocket("/"), address.replace("ws:", "wss:"));
        }
    }
}
