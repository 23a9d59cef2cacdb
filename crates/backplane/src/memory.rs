//! In-memory implementations, for a single node or several nodes in one process.

mod bus;
mod free_numbers;
mod idempotency;
mod seats;
mod store;

pub use bus::LocalBus;
pub use idempotency::MemoryIdempotencyStore;
pub use store::MemoryStore;
