//! The generic cell rate algorithm: the use of one key by one rule, in one number.

/// The use of a key: the time in ns at which it has nothing left to wait for. A key that was never used has 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cell(pub u64);

/// The rate is exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limited {
    /// Time in ns until one more is allowed, if nothing else is counted until then.
    pub retry_after_ns: u64,
}

impl Cell {
    /// Counts one at the time `now_ns`, at intervals of `interval_ns` with bursts of `burst`. If that exceeds the rate,
    /// nothing is counted.
    pub fn take(&mut self, interval_ns: u64, burst: u32, now_ns: u64) -> Result<(), Limited> {
        let next = self.0.max(now_ns).saturating_add(interval_ns);
        let latest = now_ns.saturating_add(interval_ns.saturating_mul(burst.into()));
        if next > latest {
            return Err(Limited { retry_after_ns: next - latest });
        }
        self.0 = next;
        Ok(())
    }

    /// Uncounts one.
    pub fn give_back(&mut self, interval_ns: u64) {
        self.0 = self.0.saturating_sub(interval_ns);
    }

    /// Returns true if the use no longer matters.
    pub fn is_idle(self, now_ns: u64) -> bool {
        self.0 <= now_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: u64 = 100;

    #[test]
    fn a_burst_passes_at_once_and_then_one_in_each_interval() {
        let mut cell = Cell::default();
        for _ in 0..3 {
            assert_eq!(cell.take(INTERVAL, 3, 1000), Ok(()));
        }
        assert_eq!(cell.take(INTERVAL, 3, 1000), Err(Limited { retry_after_ns: 100 }));
        assert_eq!(cell.take(INTERVAL, 3, 1040), Err(Limited { retry_after_ns: 60 }));
        assert_eq!(cell.take(INTERVAL, 3, 1100), Ok(()), "after exactly the time that was named");
        assert!(cell.take(INTERVAL, 3, 1199).is_err());
        assert!(!cell.is_idle(1399) && cell.is_idle(1400));
    }

    #[test]
    fn refused_ones_do_not_count_and_one_that_is_given_back_neither() {
        let mut cell = Cell::default();
        assert_eq!(cell.take(INTERVAL, 1, 1000), Ok(()));
        for now in 1000..1100 {
            assert!(cell.take(INTERVAL, 1, now).is_err());
        }
        assert_eq!(cell.take(INTERVAL, 1, 1100), Ok(()));
        cell.give_back(INTERVAL);
        assert_eq!(cell.take(INTERVAL, 1, 1100), Ok(()));
    }

    #[test]
    fn in_any_window_at_most_the_burst_and_the_rate_pass() {
        let (mut cell, mut passed) = (Cell::default(), Vec::new());
        for now in (0..100_000).step_by(7) {
            if cell.take(INTERVAL, 5, now).is_ok() {
                passed.push(now);
            }
        }
        for (at, first) in passed.iter().enumerate() {
            for (count, last) in passed[at..].iter().enumerate() {
                assert!((count as u64 + 1).saturating_sub(5) * INTERVAL <= last - first);
            }
            if at > 200 {
                break;
            }
        }
        assert!(passed.len() >= 1000, "{}", passed.len());
    }

    #[test]
    fn extreme_times_do_not_overflow() {
        let mut cell = Cell(u64::MAX);
        assert!(cell.take(u64::MAX, u32::MAX, u64::MAX).is_ok());
        assert!(Cell(u64::MAX).take(1, 1, 0).is_err());
    }
}
