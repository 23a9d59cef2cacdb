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

/// For telling who was first, also of two who come within a millisecond: microseconds since 1970.
pub(crate) fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// A time of others' in milliseconds since 1970; 0 for what was before, the last one there is for
/// what no clock will show.
pub(crate) fn since_1970(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
