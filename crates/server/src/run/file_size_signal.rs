//! The signal at the system's limit of file sizes (`ulimit -f`, `LimitFSIZE=`).

use std::io;

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};

/// Makes a write beyond the limit fail, as on a full disk. By default the signal of the limit ends the process.
pub(super) fn survive() -> io::Result<()> {
    // The handler stays installed.
    signal(SignalKind::from_raw(Signal::XFSZ.as_raw())).map(drop)
}
