//! Times as they are sent: milliseconds since 1970.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds from 1970 to `time`: 0 for an earlier time, `u64::MAX` for one that does not fit.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
///
/// assert_eq!(switchboard_event::unix_ms(UNIX_EPOCH + Duration::from_secs(2)), 2_000);
/// assert_eq!(switchboard_event::unix_ms(UNIX_EPOCH - Duration::from_secs(2)), 0);
/// ```
pub fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
