//! The start of a server: freezes the app's routes and starts the node's services.

use std::sync::Arc;

use switchboard_event::Protocol;

use crate::api::app::App;
use crate::net::flusher::Flushers;
use crate::net::heartbeat::Heartbeats;
use crate::net::worker_threads::WorkerThreads;
use crate::node::system_events::HookTable;
use crate::node::{identity, overflow, rates, reports, resume, revocations};
use crate::protocols::config;
use crate::protocols::config::ProtocolConfig;
use crate::routing::server::Server;

/// Freezes the routes of an app. The first call for a node also starts its services: flushers, heartbeats,
/// expiry and revocations of tokens, sweeps of addresses that sent tokens, rate rules, ends of detached sessions, reports.
/// Worker threads get a flusher lane each.
///
/// # Panics
/// If the routes are invalid: an event has two handlers, or a handler's state is missing.
pub(crate) fn start(app: &App, threads: Option<&WorkerThreads>) -> Arc<Server> {
    let configs = Protocol::ALL.map(|protocol| config(protocol, app));
    let routes = configs.each_ref().map(|ProtocolConfig { router, fallback, .. }| {
        let routes = router.freeze(app.setup(), fallback.clone());
        routes.unwrap_or_else(|error| panic!("the app cannot be served: {error}"))
    });
    let frame_bytes_max = configs.each_ref().map(|config| config.frame_bytes_max);
    let server = Arc::new(Server::new(app, routes, frame_bytes_max));
    let node = app.node();
    for (protocol, config) in Protocol::ALL.into_iter().zip(&configs) {
        if !config.redelivery_interval.is_zero() {
            node.set_redelivery_interval(protocol, config.redelivery_interval);
        }
    }
    let bytes_sent = Protocol::ALL.map(|protocol| node.meters().of(protocol).bytes_sent.clone());
    if node.extension::<Arc<Flushers>>().start(&node.tasks, &bytes_sent, threads) {
        let weak = Arc::downgrade(&server);
        node.set_hooks(HookTable::new(weak, |event| server.has_hooks(event)));
        for (protocol, config) in Protocol::ALL.into_iter().zip(&configs) {
            let heartbeat = node.extension::<Heartbeats>().of(protocol).clone();
            node.tasks.spawn_service(heartbeat.run(server.clone(), config.keep_alive));
        }
        node.tasks.spawn_service(identity::run_expiry(node.clone()));
        node.tasks.spawn_service(identity::run_sweeps(node.clone()));
        node.tasks.spawn_service(revocations::run(node.clone()));
        node.tasks.spawn_service(resume::run_sweeps(node.clone()));
        node.tasks.spawn_service(rates::run(node.clone()));
        node.tasks.spawn_service(overflow::run(node.clone()));
        node.drain.show();
        reports::start(node);
    }
    server
}
