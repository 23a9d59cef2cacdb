//! The addresses that the server listens on.

use std::net::{IpAddr, SocketAddr};

use super::error::InvalidSetting;

/// Checks that no two listeners need the same port of the same address. Each is named by its setting.
pub(super) fn check(listeners: &[(&str, SocketAddr)]) -> Result<(), InvalidSetting> {
    for (at, (key, address)) in listeners.iter().enumerate() {
        if let Some((other, taken)) = listeners[..at].iter().find(|(_, taken)| overlaps(*address, *taken)) {
            let problem = format!("{other} is {taken}, and each listener needs a port of its own");
            return Err(InvalidSetting::new(*key, problem).with_hint("choose another port"));
        }
    }
    Ok(())
}

/// Port 0 is a free port. An unspecified address contains all others; that of IPv6 contains IPv4.
fn overlaps(one: SocketAddr, other: SocketAddr) -> bool {
    let contains = |net: IpAddr, ip: IpAddr| net.is_unspecified() && (net.is_ipv6() || ip.is_ipv4());
    let (a, b) = (one.ip().to_canonical(), other.ip().to_canonical());
    one.port() != 0 && one.port() == other.port() && (a == b || contains(a, b) || contains(b, a))
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    #[test]
    fn equal_ports_overlap_if_one_address_contains_the_other() {
        for (one, other, expected) in [
            ("127.0.0.1:3000", "127.0.0.1:3000", true),
            ("0.0.0.0:3000", "10.0.0.1:3000", true),
            ("[::]:3000", "10.0.0.1:3000", true),
            ("[::]:3000", "0.0.0.0:3000", true),
            ("[::ffff:127.0.0.1]:3000", "127.0.0.1:3000", true),
            ("[::]:3000", "[::1]:3000", true),
            ("0.0.0.0:3000", "[::1]:3000", false),
            ("127.0.0.1:3000", "127.0.0.2:3000", false),
            ("127.0.0.1:3000", "127.0.0.1:3001", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
        ] {
            let (one, other) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!((overlaps(one, other), overlaps(other, one)), (expected, expected), "{one} {other}");
        }
    }

    #[test]
    fn each_open_listener_needs_a_port_of_its_own() {
        let (mesa, api) = ("mesa.enabled=true", "api.keys=0123456789abcdef");
        let with = |sets: &[&str]| {
            let sets: Vec<String> = sets.iter().map(|set| set.to_string()).collect();
            Config::load(None, &sets).map_err(|error| error.to_string())
        };
        for (sets, named) in [
            (&["internal.listen=127.0.0.1:3000"][..], "internal.listen"),
            (&["listen=0.0.0.0:4000", mesa], "mesa.listen"),
            (&["listen=127.0.0.1:4001", api], "api.listen"),
            (&["internal.listen=127.0.0.1:4001", api], "api.listen"),
            (&["api.listen=[::]:4000", mesa, api], "api.listen"),
        ] {
            let error = with(sets).unwrap_err();
            assert!(
                error.starts_with(&format!("{named} ")) || error.starts_with(&format!("{named}:")),
                "{error}"
            );
            assert!(error.contains("each listener needs a port of its own"), "{error}");
        }
        for fine in [&["listen=127.0.0.1:4000"][..], &["listen=127.0.0.1:4001"], &["listen=127.0.0.1:0"]] {
            assert!(with(fine).is_ok(), "Mesa and the API are off: {fine:?}");
        }
    }
}
