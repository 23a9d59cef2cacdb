//! Nodes that share a real Redis, each test with a server of its own.

mod apps;
#[cfg(feature = "legacy")]
mod channels;
mod contracts;
mod crowds;
#[cfg(feature = "legacy")]
mod driven;
#[cfg(feature = "legacy")]
mod emit_bridge;
#[cfg(feature = "legacy")]
mod emit_original;
mod faults;
mod inbox;
mod inbox_limits;
mod measures;
#[cfg(feature = "legacy")]
mod mesa_bridge;
#[cfg(feature = "legacy")]
mod mesa_inbox;
#[cfg(feature = "legacy")]
mod mesa_original;
mod missed;
mod modes;
#[cfg(feature = "legacy")]
mod original_portals;
mod support;
mod two_devices;
