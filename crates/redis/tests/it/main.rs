//! Nodes that share a real Redis, each test with a server of its own.

mod apps;
mod bridge;
mod contracts;
mod faults;
mod original;
mod support;
