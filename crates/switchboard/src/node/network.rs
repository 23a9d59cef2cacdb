//! The network of an address, by which clients are counted.

use std::net::{IpAddr, Ipv6Addr};

/// The address, or the /64 network of an IPv6 address, which usually belongs to one client.
pub(crate) fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(ip) if ip.to_ipv4_mapped().is_none() => {
            IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64))
        }
        ip => ip,
    }
}
