//! A buffer of the current thread for values that are serialized before their length is known.

use std::cell::Cell;

/// Largest buffer that is kept.
const KEPT_BYTES_MAX: usize = 16 * 1024;

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Calls `work` with an empty buffer. A call inside of `work` gets another one.
pub(super) fn with_scratch<T>(work: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    let mut scratch = SCRATCH.take();
    let result = work(&mut scratch);
    if scratch.capacity() <= KEPT_BYTES_MAX {
        scratch.clear();
        SCRATCH.set(scratch);
    }
    result
}
