//! The kinds of closes, each of which has a limit of log lines of its own.

use switchboard_ws::close::CloseCode;

/// The kind of a close for the limit of its log lines.
pub(super) fn log_kind(code: CloseCode) -> &'static str {
    match code.0 {
        1000 => "1000",
        1001 => "1001",
        1002 => "1002",
        1005 => "1005",
        1006 => "1006",
        1007 => "1007",
        1008 => "1008",
        1009 => "1009",
        1012 => "1012",
        1013 => "1013",
        3000..5000 => "application",
        _ => "other",
    }
}
