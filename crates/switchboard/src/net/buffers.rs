//! Buffers that a thread lends to the connection that reads or sends on it: an idle connection owns
//! none.

use std::cell::Cell;

/// Most bytes of one read.
const READ_BYTES: usize = 64 * 1024;

thread_local! {
    static LENT: Cell<Option<Box<Lent>>> = const { Cell::new(None) };
}

pub(crate) struct Lent {
    pub(crate) read: Vec<u8>,
    pub(crate) send: Vec<u8>,
}

pub(crate) fn with_lent<T>(work: impl FnOnce(&mut Lent) -> T) -> T {
    let mut lent =
        LENT.take().unwrap_or_else(|| Box::new(Lent { read: vec![0; READ_BYTES], send: Vec::new() }));
    let result = work(&mut lent);
    LENT.set(Some(lent));
    result
}
