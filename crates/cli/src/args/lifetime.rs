//! Durations in arguments.

use std::time::Duration;

/// Reads `90s`, `15m`, `12h` or `30d`.
pub(super) fn lifetime(text: &str) -> Result<Duration, String> {
    let bad = || format!("expected a number and s, m, h or d, such as 15m; found `{text}`");
    let unit = text.chars().last().ok_or_else(bad)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return Err(bad()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| bad())?;
    Ok(Duration::from_secs(number.checked_mul(seconds).ok_or_else(bad)?))
}
