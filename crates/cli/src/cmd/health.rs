//! `switchboard health`: asks a running server whether it is healthy.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context, bail, ensure};
use reqwest::Url;
use switchboard_log::Printable;
use switchboard_server::config::TlsListener;

use crate::args::Health;
use crate::cmd::http;
use crate::settings::Settings;
use crate::streams::print_line;

/// The page that is requested if the address has no path.
const PAGE: &str = "/readyz";

/// Longest answer that is shown, in characters.
const SHOWN_CHARS_MAX: usize = 100;

/// Prints the server's answer. Fails if its status is not 200, or if there is no answer within the time-out.
pub(crate) async fn run(health: &Health) -> anyhow::Result<()> {
    let (address, client) = match &health.url {
        Some(url) => (parse(url)?, http::client(health.timeout, &health.certificates)?),
        None => (of_settings(&health.settings)?, http::local_client(health.timeout)),
    };
    // The server is near; a proxy of the environment is for other addresses.
    let client = client.no_proxy().build()?;
    let asked = async {
        let response = client.get(address.clone()).send().await?;
        let status = response.status().as_u16();
        Ok::<_, reqwest::Error>((status, response.text().await?))
    };
    let (status, text) =
        asked.await.map_err(|error| http::explain(&error, address.as_str(), health.timeout))?;
    let text: String = text.trim().chars().take(SHOWN_CHARS_MAX).collect();
    ensure!(status == 200, "{address} answered {status}: {}", Printable(text));
    print_line(Printable(text));
    Ok(())
}

fn parse(url: &str) -> anyhow::Result<Url> {
    let invalid = || format!("the address is `{url}`; expected one such as http://127.0.0.1:3001");
    let mut address = Url::parse(url).with_context(invalid)?;
    ensure!(["http", "https"].contains(&address.scheme()), invalid());
    if address.path() == "/" {
        address.set_path(PAGE);
    }
    Ok(address)
}

/// The page at the address where a server with these settings has it.
fn of_settings(settings: &Settings) -> anyhow::Result<Url> {
    let config = settings.load().map_err(|failure| failure.into_parts().0)?;
    let (key, listen, listener) = match config.internal.listen {
        Some(listen) => ("internal.listen", listen, TlsListener::Internal),
        None => ("listen", config.listen, TlsListener::Clients),
    };
    let scheme = if config.tls.covers(listener) { "https" } else { "http" };
    if listen.port() == 0 {
        bail!(
            "{key} is {listen}, so the server chooses a port; name its address, as in http://127.0.0.1:3001"
        );
    }
    Ok(Url::parse(&format!("{scheme}://{}{PAGE}", reachable(listen)))
        .expect("an address with a port is one of HTTP"))
}

/// The address at which this machine reaches a listener.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_path_means_readyz() {
        for (url, page) in [
            ("http://127.0.0.1:3001", "http://127.0.0.1:3001/readyz"),
            ("http://[::1]:3001/", "http://[::1]:3001/readyz"),
            ("https://chat.example/livez", "https://chat.example/livez"),
        ] {
            assert_eq!(parse(url).unwrap().as_str(), page);
        }
        for bad in ["127.0.0.1:3001", "ws://127.0.0.1:3001", "", "http://"] {
            let error = parse(bad).expect_err(bad).to_string();
            assert!(error.starts_with(&format!("the address is `{bad}`; expected one such as")), "{error}");
        }
    }

    #[test]
    fn a_listener_on_all_addresses_is_reached_at_loopback() {
        for (listen, expected) in [
            ("0.0.0.0:3000", "127.0.0.1:3000"),
            ("[::]:3000", "[::1]:3000"),
            ("10.0.0.7:3000", "10.0.0.7:3000"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()), expected.parse().unwrap());
        }
    }
}
