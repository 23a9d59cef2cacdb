//! Read and send buffers, one pair per thread: connections share them, so an idle connection has none.

use std::cell::Cell;

/// Maximum number of bytes of one read.
const READ_BYTES: usize = 64 * 1024;

thread_local! {
    static BUFFERS: Cell<Option<Box<Buffers>>> = const { Cell::new(None) };
}

/// The buffers of one thread.
pub(crate) struct Buffers {
    /// [`READ_BYTES`] long.
    pub(crate) read: Vec<u8>,
    /// Frames gathered for one send.
    pub(crate) send: Vec<u8>,
}

/// Calls `work` with the buffers of this thread.
pub(crate) fn with_buffers<T>(work: impl FnOnce(&mut Buffers) -> T) -> T {
    let mut buffers =
        BUFFERS.take().unwrap_or_else(|| Box::new(Buffers { read: vec![0; READ_BYTES], send: Vec::new() }));
    let result = work(&mut buffers);
    BUFFERS.set(Some(buffers));
    result
}
