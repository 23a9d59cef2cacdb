//! The address under which other devices of the network reach this machine.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

/// A documentation address (RFC 5737). Connecting a UDP socket to it only selects a route; nothing is sent.
const ELSEWHERE: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);

/// `None` if the listener accepts this machine only, or if the machine has no network.
pub(super) fn address(listener: SocketAddr) -> Option<SocketAddr> {
    let ip = listener.ip().to_canonical();
    let ip = if ip.is_unspecified() { own_address()? } else { ip };
    (!ip.is_loopback()).then(|| SocketAddr::new(ip, listener.port()))
}

/// The address of this machine on its default route.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(ELSEWHERE).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified()).then_some(ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_listener_that_others_reach_has_an_address_for_them() {
        for (listener, expected) in [
            ("127.0.0.1:3000", None),
            ("[::1]:3000", None),
            ("[::ffff:127.0.0.1]:3000", None),
            ("192.168.1.20:3000", Some("192.168.1.20:3000")),
            ("[fd00::1]:3000", Some("[fd00::1]:3000")),
        ] {
            let expected = expected.map(|address| address.parse().unwrap());
            assert_eq!(address(listener.parse().unwrap()), expected, "{listener}");
        }
        if let Some(found) = address("0.0.0.0:3000".parse().unwrap()) {
            assert!(!found.ip().is_loopback() && !found.ip().is_unspecified(), "{found}");
            assert_eq!(found.port(), 3000);
        }
    }
}
