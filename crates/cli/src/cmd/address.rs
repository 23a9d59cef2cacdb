//! Addresses of servers, as people write them, and the certificates to trust there.

use std::path::Path;

use anyhow::Context;
use switchboard_client::Options;

/// The address of a WebSocket: `ws://` if there is no scheme, and the scheme of WebSockets in place of that of pages.
pub(super) fn websocket(address: &str) -> String {
    match address.split_once("://") {
        None => format!("ws://{address}"),
        Some(("http", rest)) => format!("ws://{rest}"),
        Some(("https", rest)) => format!("wss://{rest}"),
        Some(_) => address.to_owned(),
    }
}

/// Options of a client that trusts a root certificate in addition to public ones.
pub(super) fn trusting(root: Option<&Path>) -> anyhow::Result<Options> {
    let options = Options::default();
    let Some(path) = root else { return Ok(options) };
    let root = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(options.with_root_certificate(root))
}

/// The address without its query, which may contain a token, for messages.
pub(super) fn without_query(address: &str) -> &str {
    address.split(['?', '#']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_token() {
        assert_eq!(without_query("ws://a/?token=secret"), "ws://a/");
        assert_eq!(without_query("ws://a/b"), "ws://a/b");
    }

    #[test]
    fn an_address_of_a_page_or_without_a_scheme_is_one_of_a_websocket() {
        for (written, meant) in [
            ("localhost:3000", "ws://localhost:3000"),
            ("127.0.0.1:3000/koji", "ws://127.0.0.1:3000/koji"),
            ("http://a.example/x", "ws://a.example/x"),
            ("https://a.example", "wss://a.example"),
            ("ws://a", "ws://a"),
            ("wss://a", "wss://a"),
            ("ftp://a", "ftp://a"),
        ] {
            assert_eq!(websocket(written), meant);
        }
    }
}
