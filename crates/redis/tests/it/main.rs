//! Tests with nodes that share a real Redis. Each test starts its own Redis server.

mod apps;
mod bursts;
#[cfg(feature = "legacy")]
mod channels;
mod cluster_and_sentinel;
mod contracts;
#[cfg(feature = "legacy")]
mod emit_bridge;
mod failovers;
mod faults;
mod history;
mod inbox;
mod inbox_limits;
mod kept_sessions;
mod large_audiences;
#[cfg(feature = "legacy")]
mod legacy_emit;
#[cfg(feature = "legacy")]
mod legacy_mesa;
#[cfg(feature = "legacy")]
mod legacy_portals;
mod measurements;
#[cfg(feature = "legacy")]
mod mesa_bridge;
#[cfg(feature = "legacy")]
mod mesa_inbox;
mod missed_publications;
#[cfg(feature = "legacy")]
mod node_js;
mod refusals;
mod seats;
mod support;
mod two_devices;
