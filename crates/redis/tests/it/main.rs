//! Nodes that share a real Redis, each test with a server of its own.

mod apps;
mod bridge;
mod contracts;
mod crowds;
mod faults;
mod inbox;
mod measures;
mod modes;
mod original;
mod support;
