//! In-memory implementations, for a single node or several nodes in one process.

mod bus;
mod free_numbers;
mod history;
mod idempotency;
mod rates;
mod seats;
mod store;

pub use bus::LocalBus;
pub use history::{MemoryHistory, MemoryHistoryLimits};
pub use idempotency::MemoryIdempotencyStore;
pub use rates::MemoryRateStore;
pub use store::MemoryStore;
