//! A value that can be replaced while it is in use.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

/// A value that can be replaced while references to it are in use.
///
/// Reading takes no lock. A replaced value is kept, because a reference to it may be in use, so this is
/// for small values that are replaced rarely, such as settings.
pub(crate) struct Replaceable<T> {
    /// All values so far: bucket `n` has room for 2^n, which never move.
    buckets: [OnceLock<Box<[OnceLock<T>]>>; usize::BITS as usize],
    /// The place of the current value among all.
    current: AtomicUsize,
    replacing: Mutex<()>,
}

impl<T> Replaceable<T> {
    pub(crate) fn new(value: T) -> Self {
        let this = Replaceable {
            buckets: [const { OnceLock::new() }; usize::BITS as usize],
            current: AtomicUsize::new(0),
            replacing: Mutex::new(()),
        };
        this.put(0, value);
        this
    }

    /// The current value.
    pub(crate) fn get(&self) -> &T {
        let (bucket, place) = position(self.current.load(Ordering::Acquire));
        let value = self.buckets[bucket].get().and_then(|bucket| bucket[place].get());
        value.expect("a value is in its place before it becomes the current one")
    }

    /// Replaces the value. References to the old one stay valid.
    pub(crate) fn replace(&self, value: T) {
        let _guard = self.replacing.lock().expect("no code that holds the lock panics");
        let next = self.current.load(Ordering::Relaxed) + 1;
        self.put(next, value);
        self.current.store(next, Ordering::Release);
    }

    fn put(&self, number: usize, value: T) {
        let (bucket, place) = position(number);
        let bucket = self.buckets[bucket].get_or_init(|| (0..1 << bucket).map(|_| OnceLock::new()).collect());
        // The place is free: every number is used once.
        let _ = bucket[place].set(value);
    }
}

/// The bucket of a value, and its place in it.
fn position(number: usize) -> (usize, usize) {
    let bucket = (number + 1).ilog2();
    (bucket as usize, number + 1 - (1 << bucket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_stays_valid_while_the_value_is_replaced() {
        let value = Replaceable::new(0);
        let references: Vec<&u32> = (1..=1000)
            .map(|number| {
                let reference = value.get();
                value.replace(number);
                reference
            })
            .collect();
        assert!(references.into_iter().copied().eq(0..1000));
        assert_eq!(value.get(), &1000);
    }
}
