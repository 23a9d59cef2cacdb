//! Nodes that share a real Redis, each test with a server of its own.

mod apps;
mod bridge;
mod contracts;
mod faults;
mod measures;
mod modes;
mod original;
mod original_portals;
mod support;
