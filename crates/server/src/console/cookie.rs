//! The cookie of a session.
//!
//! Its name contains the node: browsers do not separate the ports of a host, and two nodes on one machine have separate
//! sessions.

use http::{HeaderMap, header};
use switchboard::backplane::NodeId;

fn name(node: NodeId) -> String {
    format!("switchboard_console_{node}")
}

/// The token in the cookie of a request.
pub(super) fn read(headers: &HeaderMap, node: NodeId) -> Option<&str> {
    let name = name(node);
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find_map(|(given, token)| (given == name).then_some(token))
}

/// The header that sets the cookie for `seconds`; 0 removes it. No script can read it, and no page of another site sends it.
pub(super) fn set(node: NodeId, token: &str, seconds: u64, is_secure: bool) -> String {
    let secure = if is_secure { "; Secure" } else { "" };
    format!("{}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}", name(node))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_from_the_cookie_of_its_node() {
        let (node, other) = (NodeId::random(), NodeId::random());
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, format!("a=b; switchboard_console_{other}=x").parse().unwrap());
        assert_eq!(read(&headers, node), None);
        headers.append(header::COOKIE, format!("switchboard_console_{node}=y; c").parse().unwrap());
        assert_eq!((read(&headers, node), read(&headers, other)), (Some("y"), Some("x")));
    }
}
