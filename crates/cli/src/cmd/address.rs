//! Addresses of servers, as people write them.

/// The address of a WebSocket: `ws://` if there is no scheme, and the scheme of WebSockets in place of that of pages.
pub(super) fn websocket(address: &str) -> String {
    match address.split_once("://") {
        None => format!("ws://{address}"),
        Some(("http", rest)) => format!("ws://{rest}"),
        Some(("https", rest)) => format!("wss://{rest}"),
        Some(_) => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
