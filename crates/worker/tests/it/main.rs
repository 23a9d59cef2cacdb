//! Workers, nodes and clients that share a real Redis, each test with a server of its own.

mod desks;
mod doors;
mod faults;
mod groups;
mod support;
