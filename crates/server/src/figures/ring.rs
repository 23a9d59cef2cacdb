//! A bounded list of samples with ascending numbers.

use std::collections::VecDeque;

/// A ring of samples. A new one replaces the oldest if it is full.
pub(super) struct Ring {
    rows: VecDeque<(u64, Box<[f32]>)>,
    max: usize,
}

impl Ring {
    pub(super) fn new(max: usize) -> Self {
        Ring { rows: VecDeque::new(), max }
    }

    /// Adds a sample. If the clock has been set back, the samples from then on are of no use and go.
    pub(super) fn push(&mut self, number: u64, row: Box<[f32]>) {
        while self.rows.back().is_some_and(|(last, _)| *last >= number) {
            self.rows.pop_back();
        }
        if self.rows.len() >= self.max {
            self.rows.pop_front();
        }
        self.rows.push_back((number, row));
    }

    /// The samples after the one with a number, in ascending order.
    pub(super) fn after(&self, number: u64) -> impl Iterator<Item = (u64, &[f32])> {
        let begin = self.rows.partition_point(|(at, _)| *at <= number);
        self.rows.range(begin..).map(|(at, row)| (*at, &**row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_ring_forgets_the_oldest_sample_and_a_clock_that_is_set_back_the_newest() {
        let mut ring = Ring::new(3);
        for number in 1..=5 {
            ring.push(number, Box::new([number as f32]));
        }
        let numbers = |ring: &Ring, after| ring.after(after).map(|(at, _)| at).collect::<Vec<_>>();
        assert_eq!(numbers(&ring, 0), [3, 4, 5]);
        assert_eq!(numbers(&ring, 4), [5]);
        assert_eq!(numbers(&ring, 5), [0; 0]);
        ring.push(4, Box::new([9.0]));
        assert_eq!(ring.after(0).last(), Some((4, &[9.0][..])));
        assert_eq!(numbers(&ring, 0), [3, 4]);
    }
}
