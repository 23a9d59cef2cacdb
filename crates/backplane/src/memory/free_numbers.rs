//! The numbers that no shard's name contains, as ranges.
//!
//! Clients choose names such as `shard-7` as well. With ranges the lowest free number is found in one step,
//! however many names are taken.

use std::collections::BTreeMap;

/// The most digits of a number that an automatic shard can have. Redis stores numbers as doubles, which are exact up
/// to here.
const DIGITS_MAX: usize = 15;

const LAST: u64 = 10_u64.pow(DIGITS_MAX as u32) - 1;

/// Numbers from 1, as disjoint ranges: the first number of each, and its last.
#[derive(Debug)]
pub(super) struct FreeNumbers(BTreeMap<u64, u64>);

impl Default for FreeNumbers {
    fn default() -> Self {
        FreeNumbers(BTreeMap::from([(1, LAST)]))
    }
}

impl FreeNumbers {
    /// The lowest free number.
    pub(super) fn lowest(&self) -> u64 {
        *self.0.keys().next().expect("there are fewer shards than numbers")
    }

    /// Marks a free number as taken.
    pub(super) fn take(&mut self, number: u64) {
        let Some((&first, &last)) = self.0.range(..=number).next_back() else { return };
        if last < number {
            return;
        }
        self.0.remove(&first);
        if first < number {
            self.0.insert(first, number - 1);
        }
        if number < last {
            self.0.insert(number + 1, last);
        }
    }

    /// Marks a taken number as free.
    pub(super) fn release(&mut self, number: u64) {
        let (mut first, mut last) = (number, number);
        if let Some((&before, &end)) = self.0.range(..number).next_back()
            && end + 1 == number
        {
            self.0.remove(&before);
            first = before;
        }
        if let Some(end) = self.0.remove(&(number + 1)) {
            last = end;
        }
        self.0.insert(first, last);
    }
}

/// The number in a name of the form of automatic shards.
pub(super) fn number_of(shard: &str) -> Option<u64> {
    let digits = shard.strip_prefix("shard-")?;
    let is_number = digits.len() <= DIGITS_MAX && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number && !digits.starts_with('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_number_is_found_among_any_taken_ones() {
        let mut free = FreeNumbers::default();
        for number in (2..=5000).rev() {
            free.take(number);
        }
        assert_eq!((free.lowest(), free.0.len()), (1, 2));
        free.take(1);
        free.take(1);
        assert_eq!((free.lowest(), free.0.len()), (5001, 1), "one range, however many are taken");
        for number in [7, 9, 8, 5000] {
            free.release(number);
        }
        assert_eq!(free.0, BTreeMap::from([(7, 9), (5000, LAST)]));
        free.take(8);
        free.take(7);
        assert_eq!(free.lowest(), 9);
    }

    #[test]
    fn only_a_name_that_an_automatic_shard_can_have_contains_a_number() {
        assert_eq!(number_of("shard-1"), Some(1));
        assert_eq!(number_of("shard-999999999999999"), Some(LAST));
        for other in
            ["shard-", "shard-0", "shard-01", "shard-+1", "shard-1a", "Shard-1", "shard-1000000000000000"]
        {
            assert_eq!(number_of(other), None, "{other}");
        }
    }
}
