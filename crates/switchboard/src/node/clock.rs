//! The clocks. No other file of this crate reads one.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use switchboard_event::unix_ms;

/// The monotonic clock, for durations.
#[expect(clippy::disallowed_methods, reason = "the one file of this crate that reads a clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Milliseconds since 1970, for events and reports.
pub(crate) fn now_ms() -> u64 {
    unix_ms(SystemTime::now())
}

/// Microseconds since 1970, to order clients that connect within the same millisecond.
pub(crate) fn now_us() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
}
