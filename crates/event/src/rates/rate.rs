//! A rate as text, such as `10/s`.

use std::fmt;
use std::str::FromStr;

/// A text is no rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a number from 1, `/` and s, min, h or d, such as 10/s")]
pub struct RateError;

/// A rate of at least once per day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    count: u32,
    unit: Unit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Second,
    Minute,
    Hour,
    Day,
}

impl Unit {
    const ALL: [(&'static str, Unit); 4] =
        [("s", Unit::Second), ("min", Unit::Minute), ("h", Unit::Hour), ("d", Unit::Day)];

    fn name(self) -> &'static str {
        let (name, _) = Unit::ALL[self as usize];
        name
    }

    fn ns(self) -> u64 {
        let seconds = match self {
            Unit::Second => 1,
            Unit::Minute => 60,
            Unit::Hour => 60 * 60,
            Unit::Day => 24 * 60 * 60,
        };
        seconds * 1_000_000_000
    }
}

impl Rate {
    /// The number in its text: `10` for `10/s`.
    pub fn count(self) -> u32 {
        self.count
    }

    /// The time for one, in ns, rounded up; at least 1.
    pub fn interval_ns(self) -> u64 {
        self.unit.ns().div_ceil(self.count.into())
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let (count, unit) = text.split_once('/').ok_or(RateError)?;
        let is_number = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
        let count = if is_number { count.parse().map_err(|_| RateError)? } else { 0 };
        let unit = Unit::ALL.into_iter().find(|(name, _)| *name == unit);
        match unit {
            Some((_, unit)) if count > 0 => Ok(Rate { count, unit }),
            _ => Err(RateError),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.unit.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read_and_written_and_has_an_interval() {
        for (text, interval_ns) in [
            ("10/s", 100_000_000),
            ("3/s", 333_333_334),
            ("1/min", 60_000_000_000),
            ("7200/h", 500_000_000),
            ("1/d", 86_400_000_000_000),
            ("4294967295/s", 1),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!((rate.to_string().as_str(), rate.interval_ns()), (text, interval_ns));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "10",
            "/s",
            "0/s",
            "-1/s",
            "+1/s",
            "1.5/s",
            "1/m",
            "1/",
            "1/S",
            " 1/s",
            "1/s ",
            "4294967296/s",
        ] {
            assert_eq!(text.parse::<Rate>(), Err(RateError), "{text}");
        }
    }
}
