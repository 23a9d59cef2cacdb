//! The listeners: one for clients, and one each for health, Mesa, the API and redirects if it is configured.

use std::net::SocketAddr;

use axum::Router;
use switchboard::net::Tls;
use switchboard::{Limits, serve_http};
use tokio::net::{TcpListener, TcpSocket};

use super::error::RunError;
use super::listen_hint::hint;
use super::port_holder::Holder;
use crate::config::Config;

/// Connections that the kernel may queue before they are accepted: after an outage all clients connect
/// at once. The system may allow fewer (`net.core.somaxconn`).
const BACKLOG: u32 = 65_535;

/// The bound addresses.
pub(super) struct Listeners {
    pub(super) clients: TcpListener,
    pub(super) internal: Option<TcpListener>,
    pub(super) mesa: Option<TcpListener>,
    pub(super) api: Option<TcpListener>,
    pub(super) redirect: Option<TcpListener>,
}

impl Listeners {
    /// The address that clients connect to.
    pub(super) fn clients_address(&self, config: &Config) -> SocketAddr {
        address(Some(&self.clients)).unwrap_or(config.listen)
    }

    pub(super) fn bind(config: &Config) -> Result<Self, RunError> {
        let bind_if = |is_on: bool, key, address| is_on.then(|| bind(key, address)).transpose();
        let internal = config.internal.listen;
        let redirect = config.tls.redirect_listen.filter(|_| config.tls.is_on());
        Ok(Listeners {
            clients: bind("listen", config.listen)?,
            internal: internal.map(|address| bind("internal.listen", address)).transpose()?,
            mesa: bind_if(config.mesa.enabled, "mesa.listen", config.mesa.listen)?,
            api: bind_if(config.api.is_on(), "api.listen", config.api.listen)?,
            redirect: redirect.map(|address| bind("tls.redirect_listen", address)).transpose()?,
        })
    }
}

/// The address of a listener that may not exist.
pub(super) fn address(listener: Option<&TcpListener>) -> Option<SocketAddr> {
    listener.and_then(|listener| listener.local_addr().ok())
}

/// Serves routes on a listener of their own until the future is dropped; never ready without a listener.
pub(super) async fn serve_routes(
    listener: Option<TcpListener>,
    tls: Option<Tls>,
    routes: Router,
    limits: &Limits,
) {
    let Some(listener) = listener else { return std::future::pending().await };
    let serving = serve_http(listener, routes, limits.clone());
    match tls {
        Some(tls) => serving.with_tls(tls).await,
        None => serving.await,
    }
}

fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, RunError> {
    let bind = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bind().map_err(|cause| {
        let is_occupied = cause.kind() == std::io::ErrorKind::AddrInUse;
        let holder = if is_occupied { Holder::of_port(address.port()) } else { None };
        let is_ours = holder.as_ref().is_some_and(Holder::is_switchboard);
        let hint = hint(key, address, &cause, holder.as_ref());
        RunError::Listen { key, address, hint, is_ours, cause }
    })
}
