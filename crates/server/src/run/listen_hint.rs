//! Hints for the operator if an address cannot be listened on.

use std::io::{Error, ErrorKind};
use std::net::{SocketAddr, TcpListener};

use super::port_holder::Holder;

/// How many ports behind an occupied one are tried.
const PORTS_TRIED: u16 = 100;

/// The first port that every user may listen on, by default.
const UNPRIVILEGED: u16 = 1024;

/// The likely fix; `None` if the error says enough.
pub(super) fn hint(key: &str, address: SocketAddr, cause: &Error, holder: Option<&Holder>) -> Option<String> {
    match cause.kind() {
        ErrorKind::AddrInUse => Some(occupied(key, address, holder)),
        ErrorKind::AddrNotAvailable => Some(format!(
            "this machine has no such address; {key} is an address of this machine, 127.0.0.1 for programs on it, or \
             0.0.0.0 for everybody"
        )),
        ErrorKind::PermissionDenied if address.port() < UNPRIVILEGED => Some(format!(
            "ports below {UNPRIVILEGED} need the capability CAP_NET_BIND_SERVICE, which systemd grants by \
             `AmbientCapabilities=`; or choose a port such as 3000 and put a proxy in front"
        )),
        _ => None,
    }
}

fn occupied(key: &str, address: SocketAddr, holder: Option<&Holder>) -> String {
    let who = holder.map_or_else(
        || "another process listens there (`ss -ltnp`, as root, shows it)".to_owned(),
        |holder| format!("{holder} listens there"),
    );
    let flag = |free: SocketAddr| match key {
        "listen" => format!("--listen {free}"),
        key => format!("--set {key}={free}"),
    };
    match free_address(address) {
        Some(free) => format!("{who}; stop it, or choose another port, such as {}", flag(free)),
        None => format!("{who}; stop it, or choose another port"),
    }
}

/// The next port of the same address on which nothing listens.
fn free_address(address: SocketAddr) -> Option<SocketAddr> {
    let ports = (1..=PORTS_TRIED).filter_map(|distance| address.port().checked_add(distance));
    ports.map(|port| SocketAddr::new(address.ip(), port)).find(|address| TcpListener::bind(address).is_ok())
}
