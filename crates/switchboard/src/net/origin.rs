//! Origins of web pages (RFC 6454), in the form in which browsers send them.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use http::HeaderValue;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The origin of a web page: scheme, host, and the port if it is not the scheme's default.
///
/// Parsing accepts every notation of an origin and gives the one that browsers send, so `HTTPS://Chat.Example:443/`
/// equals `https://chat.example`. The schemes of packaged apps, such as `capacitor://localhost`, are
/// accepted. `null` is the origin of pages from a file and of sandboxed frames.
///
/// ```
/// use switchboard::net::Origin;
///
/// let origin: Origin = "HTTPS://Chat.Example:443/".parse()?;
/// assert_eq!(origin.as_str(), "https://chat.example");
/// assert!("chat.example".parse::<Origin>().is_err());
/// # Ok::<(), switchboard::net::OriginError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

/// Why a text is not an origin. The message names the likely fix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OriginError {
    /// The scheme is missing.
    #[error("expected an origin with its scheme, such as https://{0}")]
    NoScheme(String),
    /// The scheme is one of WebSocket addresses, which pages do not have.
    #[error("expected the scheme of the page, such as {0}")]
    WebSocketScheme(String),
    /// The text contains `*`.
    #[error("expected one origin; patterns are not supported")]
    Pattern,
    /// The host is missing or contains characters that hosts do not have.
    #[error("expected an origin such as https://chat.example, an international host in its form with xn--")]
    Host,
    /// The port is not a number up to 65,535.
    #[error("expected a port from 1 to 65535")]
    Port,
    /// The text has a part that origins do not have: a user, a path, a query or a fragment.
    #[error("expected an origin, which has no user, path or query, such as {0}")]
    MoreThanOrigin(String),
}

impl Origin {
    /// The origin as browsers send it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns true if this is the origin in an `Origin` header.
    pub(crate) fn is_sent_as(&self, header: &HeaderValue) -> bool {
        self.0.as_bytes() == header.as_bytes()
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("null") {
            return Ok(Origin("null".into()));
        }
        if text.contains('*') {
            return Err(OriginError::Pattern);
        }
        let Some((scheme, rest)) = text.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) else {
            let host = text.trim_start_matches('/');
            return Err(if host.is_empty() { OriginError::Host } else { OriginError::NoScheme(host.into()) });
        };
        let (scheme, rest) = (scheme.to_ascii_lowercase(), rest.strip_suffix('/').unwrap_or(rest));
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (user, address) =
            rest[..end].rsplit_once('@').map_or(("", &rest[..end]), |(user, address)| (user, address));
        let authority = authority(&scheme, address)?;
        if end < rest.len() || !user.is_empty() || address.len() < rest[..end].len() {
            return Err(OriginError::MoreThanOrigin(format!("{scheme}://{authority}")));
        }
        match scheme.as_str() {
            "ws" => Err(OriginError::WebSocketScheme(format!("http://{authority}"))),
            "wss" => Err(OriginError::WebSocketScheme(format!("https://{authority}"))),
            _ => Ok(Origin(format!("{scheme}://{authority}"))),
        }
    }
}

fn is_scheme(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && characters.all(|character| character.is_ascii_alphanumeric() || "+-.".contains(character))
}

/// The host in lower case, and the port unless it is the scheme's default.
fn authority(scheme: &str, address: &str) -> Result<String, OriginError> {
    let (host, port) = match address.rfind(':').filter(|colon| !address[*colon..].contains(']')) {
        Some(colon) => (&address[..colon], Some(&address[colon + 1..])),
        None => (address, None),
    };
    let host = host_name(host).ok_or(OriginError::Host)?;
    let default = match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    };
    let port: Option<u16> = port.map(|port| port.parse().map_err(|_| OriginError::Port)).transpose()?;
    match port {
        Some(0) => Err(OriginError::Port),
        Some(port) if Some(port) != default => Ok(format!("{host}:{port}")),
        _ => Ok(host),
    }
}

fn host_name(host: &str) -> Option<String> {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().ok().map(|address| format!("[{address}]"));
    }
    let is_valid = !host.is_empty()
        && host.chars().all(|character| character.is_ascii_alphanumeric() || "-._".contains(character));
    is_valid.then(|| host.to_ascii_lowercase())
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Origin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_notation_of_an_origin_gives_the_one_that_browsers_send() {
        for (text, sent) in [
            ("https://a.example", "https://a.example"),
            ("https://a.example/", "https://a.example"),
            (" HTTPS://A.Example ", "https://a.example"),
            ("https://a.example:443", "https://a.example"),
            ("http://a.example:080/", "http://a.example"),
            ("http://a.example:443", "http://a.example:443"),
            ("http://localhost:5173", "http://localhost:5173"),
            ("http://[2001:DB8:0::1]:80", "http://[2001:db8::1]"),
            ("http://[::1]:3000/", "http://[::1]:3000"),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("chrome-extension://ABCDEF/", "chrome-extension://abcdef"),
            ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
            ("null", "null"),
        ] {
            let origin: Origin = match text.parse() {
                Ok(origin) => origin,
                Err(error) => panic!("{text}: {error}"),
            };
            assert_eq!(origin.as_str(), sent, "{text}");
            assert_eq!(sent.parse(), Ok(origin), "the form that browsers send is kept");
        }
    }

    #[test]
    fn what_no_browser_sends_is_refused_with_the_likely_fix() {
        for (text, named) in [
            ("a.example", "https://a.example"),
            ("a.example:3000", "https://a.example:3000"),
            ("//a.example", "https://a.example"),
            ("wss://a.example", "https://a.example"),
            ("ws://a.example:80", "http://a.example"),
            ("https://a.example/app", "https://a.example"),
            ("https://a.example//", "https://a.example"),
            ("https://a.example?x=1", "https://a.example"),
            ("https://a.example#top", "https://a.example"),
            ("https://user:pass@a.example", "https://a.example"),
            ("https://@a.example", "https://a.example"),
            ("*", "patterns"),
            ("https://*.example", "patterns"),
            ("https://bücher.example", "xn--"),
            ("https://", "https://chat.example"),
            ("", "https://chat.example"),
            ("https://a b", "https://chat.example"),
            ("https://[::1", "https://chat.example"),
            ("https://::1", "https://chat.example"),
            ("https://a.example:", "port"),
            ("https://a.example:0", "port"),
            ("https://a.example:65536", "port"),
            ("https://a.example:https", "port"),
        ] {
            let error = text.parse::<Origin>().expect_err(text).to_string();
            assert!(error.contains(named), "{text}: {error}");
            assert!(!error.contains("pass"), "{error}");
        }
    }
}
