//! Implementations for a node that runs alone, or for several nodes in one process.

mod bus;
mod seats;
mod store;

pub use bus::LocalBus;
pub use store::MemoryStore;
