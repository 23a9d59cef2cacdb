//! Clocks.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

#[expect(clippy::disallowed_methods, reason = "the purpose of this crate is to measure time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Microseconds since 1970.
pub(crate) fn micros() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64
}
