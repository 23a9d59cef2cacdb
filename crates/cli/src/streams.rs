//! Printing to the standard streams. If the reader of one is gone, as after `switchboard tail … | head -1`, the process
//! ends without a message.

use std::fmt::{Arguments, Display};
use std::io::{self, ErrorKind, Write};
use std::process;

/// The exit status that a shell gives to a process that SIGPIPE ended.
const READER_GONE: i32 = 128 + 13;

/// Prints a line to the standard output.
pub(crate) fn print_line(line: impl Display) {
    print(format_args!("{line}\n"));
}

/// Prints text to the standard output.
pub(crate) fn print(text: Arguments<'_>) {
    let mut output = io::stdout().lock();
    if let Err(error) = output.write_fmt(text).and_then(|()| output.flush()) {
        end_after(&error);
    }
}

/// Prints a line to the standard error.
pub(crate) fn print_error_line(line: impl Display) {
    if let Err(error) = writeln!(io::stderr(), "{line}") {
        end_after(&error);
    }
}

fn end_after(error: &io::Error) -> ! {
    if error.kind() == ErrorKind::BrokenPipe {
        process::exit(READER_GONE);
    }
    let _ = writeln!(io::stderr(), "error: cannot print\n  because: {error}");
    process::exit(1);
}
