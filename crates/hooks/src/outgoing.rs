//! The HTTP client for calls to backends: one URL, checked addresses, bounded times and sizes.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use switchboard_tls::RootCertificateError;

use crate::address::is_public;

/// How long a connection to a backend may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Idle connections to one backend that are kept for the next calls.
const IDLE_CONNECTIONS_MAX: usize = 16;

/// Options of an [`OutgoingClient`], each with its default.
#[derive(Debug, Clone)]
pub struct OutgoingOptions {
    /// Allows loopback, private, link-local and other addresses that are not public. Default false.
    pub allow_private: bool,
    /// How long one call may take, from its start to the end of the response. Default 10 s. Opening a connection may
    /// take 5 s of that.
    pub timeout: Duration,
    /// Longest body of a response. Default 64 KiB.
    pub response_bytes_max: usize,
    /// Roots trusted for `https`, in addition to Mozilla's; each is one certificate in DER or any number in PEM.
    /// Default none.
    pub root_certificates: Vec<Vec<u8>>,
}

impl Default for OutgoingOptions {
    fn default() -> Self {
        OutgoingOptions {
            allow_private: false,
            timeout: Duration::from_secs(10),
            response_bytes_max: 64 * 1024,
            root_certificates: Vec::new(),
        }
    }
}

/// Calls one backend. Connections are pooled.
#[derive(Debug, Clone)]
pub struct OutgoingClient {
    client: Client,
    url: Url,
    options: OutgoingOptions,
}

/// The response of a backend.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Why a URL is not that of a backend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// The text is not a URL with the scheme `http` or `https`.
    #[error("not an http or https address")]
    Invalid,
    /// The URL contains a user or a password.
    #[error("the address contains a user or a password; requests are signed instead")]
    Credentials,
    /// The host is an address that is not public.
    #[error(transparent)]
    Private(#[from] PrivateAddress),
    /// The root certificates are not valid.
    #[error(transparent)]
    RootCertificate(#[from] RootCertificateError),
    /// The client cannot be made.
    #[error("cannot make the HTTP client")]
    Client(#[source] reqwest::Error),
}

/// A backend's address is not public.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not public; `allow_private` permits it", named(host, *address))]
pub struct PrivateAddress {
    /// The host of the URL.
    pub host: String,
    /// Its first address that is not public.
    pub address: IpAddr,
}

/// A host with its address; an address alone, if the host is one.
fn named(host: &str, address: IpAddr) -> String {
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(_) => address.to_string(),
        _ => format!("{host} has the address {address}, which"),
    }
}

/// Why a call got no response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The host has an address that is not public. Nothing was sent.
    #[error(transparent)]
    Private(PrivateAddress),
    /// No connection could be opened. Nothing was sent.
    #[error("cannot connect")]
    Connect(#[source] reqwest::Error),
    /// The response was not complete in time.
    #[error("no complete response within {0:?}")]
    Timeout(Duration),
    /// The response is too long.
    #[error("the response is longer than {0} bytes")]
    TooLong(usize),
    /// The connection broke, or the response is not HTTP.
    #[error("the connection broke before the end of the response")]
    Broken(#[source] reqwest::Error),
}

impl CallError {
    /// A short name for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            CallError::Private(_) => "address",
            CallError::Connect(_) => "connect",
            CallError::Timeout(_) => "timeout",
            CallError::TooLong(_) => "too_long",
            CallError::Broken(_) => "broken",
        }
    }
}

impl OutgoingClient {
    /// Checks the URL, and its host if that is an address. Connects to nothing yet.
    pub fn new(url: &str, options: OutgoingOptions) -> Result<Self, UrlError> {
        let url = Url::parse(url).map_err(|_| UrlError::Invalid)?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(UrlError::Invalid);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlError::Credentials);
        }
        // The resolver is not asked for a host that is an address.
        let host = url.host_str().unwrap_or_default();
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        if let Ok(address) = literal
            && !options.allow_private
            && !is_public(address)
        {
            return Err(PrivateAddress { host: host.into(), address }.into());
        }
        let tls = switchboard_tls::client_config(&options.root_certificates)?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .dns_resolver(Arc::new(CheckedResolver { allow_private: options.allow_private }))
            .connect_timeout(CONNECT_TIMEOUT.min(options.timeout))
            .timeout(options.timeout)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .user_agent(concat!("Switchboard/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(UrlError::Client)?;
        Ok(OutgoingClient { client, url, options })
    }

    /// The URL.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Sends a JSON body and returns the response, whatever its status.
    pub async fn post(&self, headers: HeaderMap, body: Bytes) -> Result<Reply, CallError> {
        let request = self.client.post(self.url.clone()).headers(headers);
        let request = request.header(http::header::CONTENT_TYPE, "application/json").body(body);
        let mut response = request.send().await.map_err(|error| self.error(error))?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let max = self.options.response_bytes_max;
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.error(error))? {
            if body.len() + chunk.len() > max {
                return Err(CallError::TooLong(max));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { status, headers, body: body.freeze() })
    }

    fn error(&self, error: reqwest::Error) -> CallError {
        let error = error.without_url();
        if let Some(private) = source_of::<PrivateAddress>(&error) {
            return CallError::Private(private.clone());
        }
        match error {
            error if error.is_timeout() => CallError::Timeout(self.options.timeout),
            error if error.is_connect() => CallError::Connect(error),
            error => CallError::Broken(error),
        }
    }
}

/// The first cause of a type.
fn source_of<T: Error + 'static>(error: &dyn Error) -> Option<&T> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        source = error.source();
    }
    None
}

/// Resolves a host, and fails if one of its addresses is not public: the connection then uses only addresses that were
/// checked.
struct CheckedResolver {
    allow_private: bool,
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let host = name.as_str();
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await?.collect();
            let private = addresses.iter().map(SocketAddr::ip).find(|address| !is_public(*address));
            match private {
                Some(address) if !allow_private => {
                    Err(Box::new(PrivateAddress { host: host.into(), address })
                        as Box<dyn Error + Send + Sync>)
                }
                _ => Ok(Box::new(addresses.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> UrlError {
        OutgoingClient::new(url, OutgoingOptions::default()).expect_err(url)
    }

    #[test]
    fn a_url_that_is_not_that_of_a_public_backend_is_refused() {
        for url in ["", "example.com", "ftp://example.com", "file:///etc/passwd", "unix:/run/x", "http://"] {
            assert!(matches!(refused(url), UrlError::Invalid), "{url}");
        }
        for url in ["https://user@example.com", "https://:secret@example.com"] {
            assert!(matches!(refused(url), UrlError::Credentials), "{url}");
        }
        // Every way to write an address.
        for url in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://0x7f.0.0.1/",
            "http://2130706433/",
            "http://0177.0.0.1/",
            "http://169.254.169.254/latest/meta-data",
            "http://[::1]:8080/",
            "http://[::ffff:10.0.0.1]/",
            "https://[fd00::1]/",
        ] {
            assert!(matches!(refused(url), UrlError::Private(_)), "{url}");
            let allowed = OutgoingOptions { allow_private: true, ..OutgoingOptions::default() };
            assert!(OutgoingClient::new(url, allowed).is_ok(), "{url}");
        }
        assert!(OutgoingClient::new("https://example.com/hooks", OutgoingOptions::default()).is_ok());
    }

    #[tokio::test]
    async fn a_name_with_a_private_address_is_refused_before_anything_is_sent() {
        let client = OutgoingClient::new("http://localhost:9/", OutgoingOptions::default()).unwrap();
        let error = client.post(HeaderMap::new(), Bytes::new()).await.unwrap_err();
        assert_eq!(error.label(), "address");
        assert!(error.to_string().starts_with("localhost has the address "), "{error}");
    }
}
