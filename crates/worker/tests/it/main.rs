//! Workers, nodes and clients that share a real Redis server, started per test.

mod delivery;
mod faults;
mod groups;
mod protocols;
mod support;
