//! The only place that asks for the time.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// For what is measured.
#[expect(clippy::disallowed_methods, reason = "the one place of this crate that asks for the time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// For what is said to others: milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    since_1970(SystemTime::now())
}

/// A time of others' in milliseconds since 1970; 0 for what was before.
pub(crate) fn since_1970(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}
