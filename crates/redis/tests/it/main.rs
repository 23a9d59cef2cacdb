//! Nodes that share a real Redis, each test with a server of its own.

mod apps;
mod contracts;
mod crowds;
mod driven;
mod emit_bridge;
mod emit_original;
mod faults;
mod inbox;
mod inbox_limits;
mod measures;
mod mesa_bridge;
mod mesa_inbox;
mod mesa_original;
mod missed;
mod modes;
mod original_portals;
mod support;
mod two_devices;
