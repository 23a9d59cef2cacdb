//! A bound on the number of log lines that clients can cause.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Maximum number of lines of one kind within a [`PERIOD`].
pub const LINES_MAX: u32 = 10;

/// The time in which at most [`LINES_MAX`] lines of one kind are written.
pub const PERIOD: Duration = Duration::from_secs(10);

/// Lines that were not written since the process started.
static SUPPRESSED: AtomicU64 = AtomicU64::new(0);

/// The number of lines that [`limited!`](crate::limited) did not write since the process started.
pub fn lines_suppressed() -> u64 {
    SUPPRESSED.load(Ordering::Relaxed)
}

/// Writes a log line that clients can cause, at most [`LINES_MAX`] times in a [`PERIOD`] for each place in
/// the code. Further lines are counted; the next line that is written has their number in its field
/// `suppressed`.
///
/// ```
/// use switchboard_log::{limited, printable};
///
/// let project = "chosen by a client";
/// limited!(WARN, project = printable(project), "no seat on the shard; client closed with 1013");
/// ```
#[macro_export]
macro_rules! limited {
    ($level:ident, $($line:tt)+) => {
        if $crate::tracing::enabled!($crate::tracing::Level::$level) {
            static LIMIT: $crate::LineLimit = $crate::LineLimit::new();
            if let Some(admitted) = LIMIT.admit_now() {
                let suppressed = admitted.suppressed;
                $crate::tracing::event!($crate::tracing::Level::$level, suppressed, $($line)+);
            }
        }
    };
}

/// [`limited!`](crate::limited) with a limit for each kind of a line: its first argument is the kind, a `&'static str` of
/// a closed set, so that many lines of one kind do not hide those of another.
///
/// ```
/// use switchboard_log::limited_by;
///
/// let reason = "server_full";
/// limited_by!(reason, INFO, reason, "handshake refused");
/// ```
#[macro_export]
macro_rules! limited_by {
    ($kind:expr, $level:ident, $($line:tt)+) => {
        if $crate::tracing::enabled!($crate::tracing::Level::$level) {
            static LIMITS: $crate::LineLimits = $crate::LineLimits::new();
            if let Some(admitted) = LIMITS.admit_now($kind) {
                let suppressed = admitted.suppressed;
                $crate::tracing::event!($crate::tracing::Level::$level, suppressed, $($line)+);
            }
        }
    };
}

/// Counts the lines of several kinds.
pub struct LineLimits(Mutex<BTreeMap<&'static str, Lines>>);

impl LineLimits {
    /// Limits without lines so far.
    #[expect(clippy::new_without_default, reason = "used in a static")]
    pub const fn new() -> Self {
        LineLimits(Mutex::new(BTreeMap::new()))
    }

    /// Counts a line of a kind at the current time. Returns `None` if it must not be written.
    #[expect(clippy::disallowed_methods, reason = "called from everywhere, also where there is no clock")]
    pub fn admit_now(&self, kind: &'static str) -> Option<Admitted> {
        let mut kinds = self.0.lock().expect("no code that holds the lines panics");
        kinds.entry(kind).or_insert(Lines::NONE).admit(Instant::now())
    }
}

/// Counts the lines of one kind.
pub struct LineLimit(Mutex<Lines>);

struct Lines {
    /// Lines written in the current period.
    written: u32,
    period_began: Option<Instant>,
    suppressed: u64,
}

/// A line that may be written.
#[derive(Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The lines that were not written since the last one that was; `None` if there are none.
    pub suppressed: Option<u64>,
}

impl LineLimit {
    /// A limit without lines so far.
    #[expect(clippy::new_without_default, reason = "used in a static")]
    pub const fn new() -> Self {
        LineLimit(Mutex::new(Lines::NONE))
    }

    /// [`admit`](Self::admit) at the current time.
    #[expect(clippy::disallowed_methods, reason = "called from everywhere, also where there is no clock")]
    pub fn admit_now(&self) -> Option<Admitted> {
        self.admit(Instant::now())
    }

    /// Counts a line. Returns `None` if it must not be written.
    pub fn admit(&self, now: Instant) -> Option<Admitted> {
        self.lock().admit(now)
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().expect("no code that holds the lines panics")
    }
}

impl Lines {
    const NONE: Self = Lines { written: 0, period_began: None, suppressed: 0 };

    fn admit(&mut self, now: Instant) -> Option<Admitted> {
        let began = *self.period_began.get_or_insert(now);
        if now.saturating_duration_since(began) >= PERIOD {
            (self.period_began, self.written) = (Some(now), 0);
        }
        if self.written == LINES_MAX {
            self.suppressed += 1;
            SUPPRESSED.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        self.written += 1;
        let suppressed = std::mem::take(&mut self.suppressed);
        Some(Admitted { suppressed: (suppressed > 0).then_some(suppressed) })
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use super::*;
    use crate::printable;

    #[expect(clippy::disallowed_methods, reason = "a test's own origin of time")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn lines_over_the_limit_are_counted_and_their_number_is_in_the_next_line() {
        let (limit, now) = (LineLimit::new(), start());
        for _ in 0..LINES_MAX {
            assert_eq!(limit.admit(now), Some(Admitted { suppressed: None }));
        }
        for _ in 0..1000 {
            assert_eq!(limit.admit(now + PERIOD / 2), None);
        }
        assert_eq!(limit.admit(now + PERIOD), Some(Admitted { suppressed: Some(1000) }));
        assert_eq!(limit.admit(now + PERIOD), Some(Admitted { suppressed: None }));
    }

    /// A log in memory.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(line)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn each_place_in_the_code_has_a_limit_of_its_own_and_every_line_stays_one_line() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
        let before = lines_suppressed();
        tracing::subscriber::with_default(subscriber, || {
            for number in 0..100 {
                limited!(WARN, project = printable("evil\n2026 ERROR"), number, "no seat");
                limited!(DEBUG, "not enabled, so not counted");
            }
            limited!(INFO, "another place");
            for number in 0..100 {
                limited_by!("common", INFO, number, "by kind");
            }
            limited_by!("rare", INFO, "by kind");
        });
        assert!(lines_suppressed() - before >= 180);
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 2 * LINES_MAX as usize + 2, "{text}");
        assert!(text.contains("project=\"evil<U+000A>2026 ERROR\" number=0"), "{text}");
        assert!(text.contains("another place\n"), "{text}");
    }
}
