//! Settings of client connections, for all protocols.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Deserializer, Serialize};
use switchboard::net::{AcceptOptions, Origin};

use super::error::InvalidSetting;

/// Settings of client connections.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Clients {
    /// Origins of the pages that may connect, such as `https://example.com`; a page of another origin is
    /// refused with 403. Programs send no origin and are not affected. Default: all origins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_origins: Option<Vec<Origin>>,
    /// Addresses and networks of trusted proxies, such as `10.0.0.1` and `10.0.0.0/8`. The server takes a
    /// client's address from their `x-forwarded-for` or `forwarded`; from any other address these headers
    /// are ignored. Default: none.
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// `x-forwarded-for` or `forwarded`: the header that the trusted proxies write, if clients may send the
    /// other one. Default: either; if a request has both and they differ, the client counts as its proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forwarded_header: Option<ForwardedHeader>,
}

/// The header in which proxies report the client's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardedHeader {
    /// `x-forwarded-for`.
    XForwardedFor,
    /// `forwarded` of RFC 7239.
    Forwarded,
}

impl Clients {
    pub(super) fn check(&self) -> Result<(), InvalidSetting> {
        if self.forwarded_header.is_some() && self.trusted_proxies.is_empty() {
            let invalid = InvalidSetting::new("clients.forwarded_header", "it needs clients.trusted_proxies");
            return Err(invalid.with_hint("name the addresses of the proxies in clients.trusted_proxies"));
        }
        Ok(())
    }

    /// The framework's options with these settings.
    pub(crate) fn options(&self, token_cookie: Option<&str>) -> AcceptOptions {
        AcceptOptions {
            allowed_origins: self.allowed_origins.clone(),
            trusted_proxies: self.trusted_proxies.clone(),
            forwarded_header: self.forwarded_header.map(|header| match header {
                ForwardedHeader::XForwardedFor => switchboard::net::ForwardedHeader::XForwardedFor,
                ForwardedHeader::Forwarded => switchboard::net::ForwardedHeader::Forwarded,
            }),
            // `Config::accept_options` adds the headers that handlers over HTTP need.
            kept_headers: Vec::new(),
            token_cookie: token_cookie.map(str::to_owned),
        }
    }
}

fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let read = |text: &String| network(text).ok_or_else(|| serde::de::Error::custom(EXPECTED_NETWORK));
    Vec::<String>::deserialize(deserializer)?.iter().map(read).collect()
}

const EXPECTED_NETWORK: &str = "expected addresses or networks, such as 10.0.0.1 or 10.0.0.0/8";

/// A network, or a single address. Addresses of IPv4 in the form of IPv6 become addresses of IPv4, as
/// those of clients do.
fn network(text: &str) -> Option<IpNet> {
    let text = text.trim();
    let net = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))?;
    let IpNet::V6(v6) = net else { return Some(net) };
    let mapped: Option<Ipv4Addr> = v6.addr().to_ipv4_mapped();
    match (mapped, v6.prefix_len().checked_sub(96)) {
        (Some(v4), Some(prefix)) => Ipv4Net::new(v4, prefix).ok().map(IpNet::V4),
        _ => Some(net),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, ConfigError};
    use super::*;

    fn with(sets: &[&str]) -> Result<Clients, ConfigError> {
        let sets: Vec<String> = sets.iter().map(|set| set.to_string()).collect();
        Config::load(None, &sets).map(|config| config.clients)
    }

    #[test]
    fn a_proxy_is_an_address_or_a_network() {
        for (value, networks) in [
            ("10.0.0.1", &["10.0.0.1/32"][..]),
            ("[\"10.0.0.1\", \"10.1.0.0/16\"]", &["10.0.0.1/32", "10.1.0.0/16"]),
            ("[\"fd00::1\", \"fd00::/8\"]", &["fd00::1/128", "fd00::/8"]),
            ("[\"::ffff:10.0.0.1\", \"::ffff:10.0.0.0/104\"]", &["10.0.0.1/32", "10.0.0.0/8"]),
            ("[]", &[]),
        ] {
            let clients = with(&[&format!("clients.trusted_proxies={value}")]).unwrap();
            let read: Vec<String> = clients.trusted_proxies.iter().map(ToString::to_string).collect();
            assert_eq!(read, networks, "{value}");
        }
        for bad in
            ["10.0.0.0/33", "proxy.example", "10.0.0.1:80", "fd00::/129", "[\"10.0.0.1\", \"\"]", "[::1]"]
        {
            let error = with(&[&format!("clients.trusted_proxies={bad}")]).unwrap_err().to_string();
            let place =
                format!("clients.trusted_proxies is `{bad}` (--set clients.trusted_proxies); expected");
            assert!(error.starts_with(&place), "{bad}: {error}");
        }
    }

    #[test]
    fn origins_are_read_in_any_notation_and_kept_as_browsers_send_them() {
        let clients =
            with(&["clients.allowed_origins=[\"https://a.example/\", \"HTTP://B.EXAMPLE:80\"]"]).unwrap();
        let origins = clients.options(None).allowed_origins.unwrap();
        assert_eq!(
            origins.iter().map(Origin::as_str).collect::<Vec<_>>(),
            ["https://a.example", "http://b.example"]
        );
        let error = with(&["clients.allowed_origins=a.example"]).unwrap_err().to_string();
        let expected = "clients.allowed_origins is `a.example` (--set clients.allowed_origins); \
                        expected an origin with its scheme, such as https://a.example";
        assert_eq!(error, expected);
    }

    #[test]
    fn the_header_of_the_proxies_can_be_selected_and_needs_proxies() {
        let proxies = "clients.trusted_proxies=10.0.0.1";
        for (value, header) in [
            ("x-forwarded-for", switchboard::net::ForwardedHeader::XForwardedFor),
            ("forwarded", switchboard::net::ForwardedHeader::Forwarded),
        ] {
            let clients = with(&[proxies, &format!("clients.forwarded_header={value}")]).unwrap();
            assert_eq!(clients.options(None).forwarded_header, Some(header));
        }
        for (sets, named) in [
            (&["clients.forwarded_header=forwarded"][..], "it needs clients.trusted_proxies"),
            (
                &[proxies, "clients.forwarded_header=x-real-ip"],
                "expected one of `x-forwarded-for`, `forwarded`",
            ),
        ] {
            let error = with(sets).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
