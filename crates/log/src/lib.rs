//! How log lines contain text from outside: names that clients choose, errors from the network, content of
//! Redis.
//!
//! [`printable`] and [`printable_error`] make such a text a field that cannot end its line, start another one
//! or move a terminal's cursor. [`limited!`] bounds the number of lines that clients can cause.
//! `tools/log_fields.py` checks that the code base uses them.

mod causes;
mod limit;
mod printable;

pub use causes::{PrintableError, printable_error, with_causes};
pub use limit::{Admitted, LINES_MAX, LineLimit, LineLimits, PERIOD, lines_suppressed};
pub use printable::{PRINTABLE_BYTES_MAX, Printable, is_printable, printable};

#[doc(hidden)]
pub use tracing;
