//! Where the console is: beside the API, and beside health on a listener of its own.

use std::sync::Arc;

use axum::Router;
use switchboard::backplane::NodeId;

use crate::api::SharedKeys;
use crate::config::{Config, TlsListener};
use crate::console::{Console, off};

/// The routes of two listeners.
pub(super) struct Operators {
    pub(super) api: Router,
    pub(super) internal: Router,
}

/// Adds the console to the routes of the API and to those of `internal.listen`.
pub(super) fn add(routes: Operators, config: &Config, keys: &Arc<SharedKeys>, node: NodeId) -> Operators {
    let Operators { api, internal } = routes;
    let why_off = match config {
        _ if !config.api.is_on() => Some("it needs a key in api.keys or api.named_keys"),
        _ if !config.console.enabled => Some("console.enabled is `false`"),
        _ => None,
    };
    if let Some(reason) = why_off {
        return Operators { api, internal: internal.merge(off(reason)) };
    }
    let console = Console::new(&config.console, keys.clone(), node);
    let internal = match config.api.client_ca_file {
        None => internal.merge(console.alone(api.clone(), config.tls.covers(TlsListener::Internal))),
        // This listener does not ask for certificates.
        Some(_) => internal.merge(off("api.client_ca_file is set, so it is at the address of the API only")),
    };
    Operators { api: console.beside_api(api, config.tls.covers(TlsListener::Api)), internal }
}
