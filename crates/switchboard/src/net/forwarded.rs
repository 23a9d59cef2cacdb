//! The address of a client behind proxies: `x-forwarded-for`, and `forwarded` of RFC 7239.
//!
//! Every proxy appends the address of its peer to the list of its header. So a list is reliable from its
//! end to the first address that is not a trusted proxy's; everything before it may be forged.

use std::net::{IpAddr, Ipv6Addr};

use http::{HeaderMap, header};

/// A header that proxies use to report the client's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForwardedHeader {
    /// `x-forwarded-for`, with `x-forwarded-proto` for the scheme.
    XForwardedFor,
    /// `forwarded` of RFC 7239.
    Forwarded,
}

/// The report of the trusted proxies about a client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Reported {
    /// The client's address. With an error it is that of the outermost proxy with a readable address;
    /// `None` if there is none either.
    pub(crate) ip: Option<IpAddr>,
    /// The client used TLS.
    pub(crate) is_secure: bool,
    pub(crate) error: Option<ReportError>,
}

/// Why the client's address is not known although proxies reported one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReportError {
    /// An entry of the list is not an address.
    Unreadable,
    /// The two headers name different clients. One of them may be forged, and which one depends on the
    /// proxies.
    Contradictory,
}

impl ReportError {
    /// The value of the metric's label.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            ReportError::Unreadable => "unreadable",
            ReportError::Contradictory => "contradictory",
        }
    }
}

/// Evaluates the headers of a request that came from a trusted proxy. `only` selects one of the headers;
/// otherwise either may be present.
pub(crate) fn reported(
    headers: &HeaderMap,
    only: Option<ForwardedHeader>,
    is_trusted: impl Fn(&IpAddr) -> bool,
) -> Reported {
    let reads = |header| only.is_none_or(|only| only == header);
    let x_forwarded_for =
        reads(ForwardedHeader::XForwardedFor).then(|| from_x_forwarded_for(headers, &is_trusted)).flatten();
    let forwarded = reads(ForwardedHeader::Forwarded).then(|| from_forwarded(headers, &is_trusted)).flatten();
    match (x_forwarded_for, forwarded) {
        (Some(one), Some(other)) if one.ip != other.ip || one.error != other.error => {
            Reported { error: Some(ReportError::Contradictory), ..Reported::default() }
        }
        (Some(one), Some(other)) => Reported { is_secure: one.is_secure || other.is_secure, ..one },
        (one, other) => one.or(other).unwrap_or_default(),
    }
}

/// The host that the client's request named: the last one in `x-forwarded-host`, or else in `forwarded`, which is
/// the report of the nearest proxy.
pub(crate) fn reported_host(headers: &HeaderMap) -> Option<&str> {
    let last = headers.get_all("x-forwarded-host").iter().next_back();
    let host =
        last.and_then(|list| list.to_str().ok()?.rsplit(',').map(str::trim).find(|host| !host.is_empty()));
    host.or_else(|| {
        let list = headers.get_all(header::FORWARDED).iter().next_back()?.to_str().ok()?;
        split(split(list, ',').last()?, ';').into_iter().find_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            name.trim().eq_ignore_ascii_case("host").then(|| unquoted(value.trim()))
        })
    })
}

/// One entry of a list: a client or a proxy, as the proxy behind it saw it.
struct Hop {
    /// `None` if the entry is not an address.
    ip: Option<IpAddr>,
    is_secure: bool,
}

/// `None` if the header is missing or empty.
fn from_x_forwarded_for(headers: &HeaderMap, is_trusted: impl Fn(&IpAddr) -> bool) -> Option<Reported> {
    let is_secure =
        headers.get("x-forwarded-proto").is_some_and(|proto| is_tls(proto.to_str().unwrap_or("")));
    let lists =
        headers.get_all("x-forwarded-for").iter().rev().map(|list| list.to_str().unwrap_or(UNREADABLE));
    let entries = lists.flat_map(|list| list.rsplit(',')).map(str::trim).filter(|entry| !entry.is_empty());
    outermost(entries.map(|entry| Hop { ip: address(entry), is_secure }), is_trusted)
}

/// `None` if the header is missing or empty.
fn from_forwarded(headers: &HeaderMap, is_trusted: impl Fn(&IpAddr) -> bool) -> Option<Reported> {
    let lists =
        headers.get_all(header::FORWARDED).iter().rev().map(|list| list.to_str().unwrap_or(UNREADABLE));
    let elements = lists.flat_map(|list| split(list, ',').into_iter().rev());
    outermost(elements.map(hop_of_element), is_trusted)
}

/// Stands for a header that is not ASCII.
const UNREADABLE: &str = "?";

/// Goes through a list from its end to the first hop that is not trusted.
fn outermost(hops: impl Iterator<Item = Hop>, is_trusted: impl Fn(&IpAddr) -> bool) -> Option<Reported> {
    let mut reported: Option<Reported> = None;
    for Hop { ip, is_secure } in hops {
        let Some(ip) = ip else {
            let known = reported.and_then(|reported| reported.ip);
            return Some(Reported { ip: known, is_secure, error: Some(ReportError::Unreadable) });
        };
        reported = Some(Reported { ip: Some(ip), is_secure, error: None });
        if !is_trusted(&ip) {
            break;
        }
    }
    reported
}

/// Reads `for=…;proto=…`. Without exactly one `for` the address is unknown.
fn hop_of_element(element: &str) -> Hop {
    let (mut addresses, mut is_secure) = (Vec::new(), false);
    for pair in split(element, ';') {
        match pair.split_once('=').map(|(name, value)| (name.trim(), unquoted(value.trim()))) {
            Some((name, value)) if name.eq_ignore_ascii_case("for") => addresses.push(address(value)),
            Some((name, value)) if name.eq_ignore_ascii_case("proto") => is_secure = is_tls(value),
            _ => {}
        }
    }
    Hop { ip: if let [ip] = addresses[..] { ip } else { None }, is_secure }
}

fn is_tls(proto: &str) -> bool {
    proto.eq_ignore_ascii_case("https") || proto.eq_ignore_ascii_case("wss")
}

/// The parts of a list that are not empty. A separator inside quotes does not separate.
fn split(list: &str, separator: char) -> Vec<&str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let separates = |character: char| {
        if is_escaped {
            is_escaped = false;
        } else if character == '"' {
            is_quoted = !is_quoted;
        } else if character == '\\' {
            is_escaped = is_quoted;
        }
        character == separator && !is_quoted
    };
    list.split(separates).map(str::trim).filter(|part| !part.is_empty()).collect()
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text)
}

/// The address of an entry: `192.0.2.1`, `192.0.2.1:1000`, `2001:db8::1`, `[2001:db8::1]`, or
/// `[2001:db8::1]:1000`, also in quotes.
fn address(entry: &str) -> Option<IpAddr> {
    let entry = unquoted(entry);
    if let Some((ip, rest)) = entry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let has_port = rest.strip_prefix(':').is_some_and(is_port);
        return (rest.is_empty() || has_port).then(|| v6(ip)).flatten();
    }
    match entry.split_once(':') {
        Some((ip, port)) if is_port(port) => Some(IpAddr::V4(ip.parse().ok()?)),
        Some(_) => v6(entry),
        None => Some(IpAddr::V4(entry.parse().ok()?)),
    }
}

/// An address of IPv6, with or without a zone, or the address of IPv4 that it contains.
fn v6(text: &str) -> Option<IpAddr> {
    let ip = text.split_once('%').map_or(text, |(ip, _)| ip);
    Some(IpAddr::V6(ip.parse::<Ipv6Addr>().ok()?).to_canonical())
}

/// A port, or a name that a proxy uses in place of it (RFC 7239, 6.3).
fn is_port(text: &str) -> bool {
    let is_name = |rest: &str| rest.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    text.parse::<u16>().is_ok()
        || text.strip_prefix('_').is_some_and(|rest| !rest.is_empty() && is_name(rest))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// The headers, evaluated with the trusted proxies 10.0.0.0/8 and fd00::/8.
    fn reported_of(headers: &[(&'static str, &str)], only: Option<ForwardedHeader>) -> Reported {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let nets = ["10.0.0.0/8", "fd00::/8"].map(|net| net.parse::<ipnet::IpNet>().unwrap());
        reported(&map, only, |ip| nets.iter().any(|net| net.contains(ip)))
    }

    fn client(headers: &[(&'static str, &str)]) -> Option<String> {
        let Reported { ip, error, .. } = reported_of(headers, None);
        assert_eq!(error, None, "{headers:?}");
        ip.map(|ip| ip.to_string())
    }

    #[test]
    fn an_address_is_read_with_and_without_port_brackets_and_quotes() {
        for (entry, ip) in [
            ("1.1.1.1", "1.1.1.1"),
            ("1.1.1.1:1000", "1.1.1.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:1000", "2001:db8::1"),
            ("[2001:DB8:0:0::1]:1000", "2001:db8::1"),
            ("::ffff:1.1.1.1", "1.1.1.1"),
            ("[::ffff:1.1.1.1]:80", "1.1.1.1"),
            ("fe80::1%eth0", "fe80::1"),
            ("1.1.1.1:_hidden", "1.1.1.1"),
        ] {
            for entry in [entry.to_owned(), format!("\"{entry}\""), format!("  {entry} ")] {
                assert_eq!(client(&[("x-forwarded-for", &entry)]).as_deref(), Some(ip), "{entry}");
                let element = format!("For={}", entry.trim());
                assert_eq!(client(&[("forwarded", &element)]).as_deref(), Some(ip), "{element}");
            }
        }
    }

    #[test]
    fn the_client_is_the_last_entry_that_is_not_a_trusted_proxy() {
        for (list, ip) in [
            ("1.1.1.1, 10.0.0.7:44", Some("1.1.1.1")),
            ("9.9.9.9, 1.1.1.1:5,10.0.0.7 , [fd00::1]:44", Some("1.1.1.1")),
            ("nonsense, 1.1.1.1", Some("1.1.1.1")),
            ("10.0.0.8, 10.0.0.7", Some("10.0.0.8")),
            ("1.1.1.1,,", Some("1.1.1.1")),
            (" ,", None),
        ] {
            assert_eq!(client(&[("x-forwarded-for", list)]).as_deref(), ip, "{list}");
        }
        let lines = [("x-forwarded-for", "9.9.9.9, 1.1.1.1"), ("x-forwarded-for", "10.0.0.7")];
        assert_eq!(client(&lines).as_deref(), Some("1.1.1.1"), "several headers are one list");
        assert_eq!(client(&[]), None);
    }

    #[test]
    fn the_host_is_the_report_of_the_nearest_proxy() {
        for (headers, host) in [
            (&[("x-forwarded-host", "chat.example")][..], Some("chat.example")),
            (&[("x-forwarded-host", "forged.example, chat.example:8443")], Some("chat.example:8443")),
            (
                &[("x-forwarded-host", "forged.example"), ("x-forwarded-host", "chat.example,")],
                Some("chat.example"),
            ),
            (
                &[("forwarded", "for=1.1.1.1;host=forged.example, for=10.0.0.7;Host=\"chat.example:1\"")],
                Some("chat.example:1"),
            ),
            (&[("forwarded", "for=1.1.1.1;host=forged.example, for=10.0.0.7")], None),
            (&[("forwarded", "host=a.example"), ("x-forwarded-host", "b.example")], Some("b.example")),
            (&[("x-forwarded-host", " , ")], None),
            (&[("x-forwarded-host", "b\u{e4}r.example")], None),
            (&[], None),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            assert_eq!(reported_host(&map), host, "{headers:?}");
        }
    }

    #[test]
    fn an_entry_that_is_no_address_is_an_error() {
        for entry in [
            "unknown",
            "_hidden",
            "1.1.1.1.1",
            "1.1.1.1:99999",
            "1.1.1.1:",
            "[::1",
            "[1.1.1.1]:5",
            "[::1]5",
            "\u{fc}",
        ] {
            for (headers, outer) in [
                ([("x-forwarded-for", format!("9.9.9.9, {entry}"))], None),
                ([("x-forwarded-for", format!("{entry}, 10.0.0.7"))], Some("10.0.0.7")),
                ([("forwarded", format!("for=9.9.9.9, for=\"{entry}\", for=10.0.0.7:1"))], Some("10.0.0.7")),
            ] {
                let found = reported_of(&headers.each_ref().map(|(name, value)| (*name, &**value)), None);
                assert_eq!(found.error, Some(ReportError::Unreadable), "{headers:?}");
                let is_ascii = entry.is_ascii();
                assert_eq!(found.ip, outer.filter(|_| is_ascii).map(|ip| ip.parse().unwrap()), "{headers:?}");
            }
        }
        for element in ["proto=https", "for=1.1.1.1;for=2.2.2.2", "1.1.1.1", "by=10.0.0.1"] {
            let found = reported_of(&[("forwarded", &format!("for=9.9.9.9, {element}"))], None);
            assert_eq!(found.error, Some(ReportError::Unreadable), "{element}");
        }
    }

    #[test]
    fn elements_and_pairs_of_forwarded_are_separated_outside_of_quotes() {
        let list = "for=1.1.1.1;host=\"a,b;for=2.2.2.2\";proto=HTTPS, by=_x;for=\"[fd00::1]:44\"";
        let found = reported_of(&[("forwarded", list)], None);
        let expected = Reported { ip: Some([1, 1, 1, 1].into()), is_secure: true, error: None };
        assert_eq!(found, expected);
        let escaped = "for=1.1.1.1;host=\"a\\\",for=2.2.2.2\"";
        assert_eq!(client(&[("forwarded", escaped)]).as_deref(), Some("1.1.1.1"));
    }

    #[test]
    fn tls_is_known_from_the_header_of_the_client() {
        for (headers, is_secure) in [
            (&[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-proto", "HTTPS")][..], true),
            (&[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-proto", "wss")], true),
            (&[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-proto", "http")], false),
            (&[("forwarded", "for=1.1.1.1;proto=https, for=10.0.0.1;proto=http")], true),
            (&[("forwarded", "for=1.1.1.1;proto=http, for=10.0.0.1;proto=https")], false),
        ] {
            assert_eq!(reported_of(headers, None).is_secure, is_secure, "{headers:?}");
        }
    }

    #[test]
    fn headers_that_name_different_clients_are_an_error_unless_one_is_selected() {
        let headers = [("x-forwarded-for", "1.1.1.1"), ("forwarded", "for=2.2.2.2")];
        let found = reported_of(&headers, None);
        assert_eq!((found.ip, found.error), (None, Some(ReportError::Contradictory)));
        for (only, ip) in
            [(ForwardedHeader::XForwardedFor, [1, 1, 1, 1]), (ForwardedHeader::Forwarded, [2, 2, 2, 2])]
        {
            assert_eq!(reported_of(&headers, Some(only)).ip, Some(ip.into()), "{only:?}");
        }
        let same = [("x-forwarded-for", "1.1.1.1:5"), ("forwarded", "for=1.1.1.1")];
        assert_eq!(client(&same).as_deref(), Some("1.1.1.1"));
    }
}
