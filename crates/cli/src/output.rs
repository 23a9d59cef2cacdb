//! The output of a command, and its end: its error and its exit status.

use std::fmt::Write;
use std::io::{self, IsTerminal, stderr, stdout};
use std::process::ExitCode;

use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};
use switchboard_client::RequestError;
use switchboard_log::{is_printable, printable};

use crate::streams::{print_error_line, print_line};

/// Why a command failed.
pub(crate) enum Failure {
    /// The command line or the settings are invalid: exit status 2.
    Usage(anyhow::Error),
    /// A failure at run time: exit status 1.
    Run(anyhow::Error),
    /// The log of the process has a line with the error.
    Logged(anyhow::Error, u8),
}

impl Failure {
    /// The error and its exit status.
    pub(crate) fn into_parts(self) -> (anyhow::Error, u8) {
        match self {
            Failure::Usage(error) => (error, 2),
            Failure::Run(error) => (error, 1),
            Failure::Logged(error, status) => (error, status),
        }
    }
}

/// A number with its noun: `1 socket`, `2 sockets`.
pub(crate) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Returns true if colours are wanted: at a terminal, unless `NO_COLOR` is set. `CLICOLOR_FORCE` sets them
/// everywhere. The help of the command follows the same rules.
pub(crate) fn has_colours(stream: &impl RawStream) -> bool {
    AutoStream::choice(stream) != ColorChoice::Never
}

/// Prints an error with its causes, unless it is logged, and returns the exit status.
pub(crate) fn exit(outcome: Result<(), Failure>) -> ExitCode {
    let (error, status) = match outcome {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Logged(_, status)) => return ExitCode::from(status),
        Err(failure) => failure.into_parts(),
    };
    let text = describe(&error);
    // The status reports the failure even if nothing reads the text.
    let _ = io::Write::write_all(&mut stderr(), text.as_bytes());
    ExitCode::from(status)
}

/// An error, its causes, and at the end the hint that one of them has.
fn describe(error: &anyhow::Error) -> String {
    let (mut text, mut hint) = (String::new(), String::new());
    let mut levels: Vec<String> = error.chain().map(ToString::to_string).collect();
    // Some errors repeat the text of their cause.
    levels.dedup();
    for (at, level) in levels.iter().enumerate() {
        let (problem, fix) = level.split_once("\n\nhint: ").unwrap_or((level, ""));
        let begin = if at == 0 { "error" } else { "  because" };
        text += &format!("{begin}: {}\n", printable_lines(problem));
        if !fix.is_empty() {
            hint = format!("\nhint: {}\n", printable_lines(fix));
        }
    }
    text + &hint
}

/// The error of a request. The message of a server becomes one line.
pub(crate) fn refusal(error: RequestError) -> anyhow::Error {
    match error {
        RequestError::Refused { code, message } => {
            RequestError::Refused { code, message: printable(message) }.into()
        }
        error => error.into(),
    }
}

/// Prints JSON from a server as one line of the output.
pub(crate) fn print_json(json: &str) {
    print_line(json_line(json, stdout().is_terminal()));
}

/// Prints JSON from a server as one line of the error output.
pub(crate) fn eprint_json(json: &str) {
    print_error_line(json_line(json, stderr().is_terminal()));
}

/// JSON in one line. For a terminal, characters that are not printable, which could move its cursor or change
/// its text, become escapes of JSON.
fn json_line(json: &str, is_terminal: bool) -> String {
    let mut line = String::with_capacity(json.len());
    for char in json.chars() {
        match char {
            // Between values; strings contain these characters as escapes only.
            '\n' | '\r' | '\t' => line.push(' '),
            _ if is_terminal && !is_printable(char) => {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    write!(line, "\\u{unit:04x}").expect("a String accepts all text");
                }
            }
            _ => line.push(char),
        }
    }
    line
}

/// The text of an error. A server may have chosen parts of it, so characters other than line breaks that are not
/// printable are escaped.
fn printable_lines(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\n' => shown.push(char),
            _ if is_printable(char) => shown.push(char),
            _ => shown.extend(char.escape_unicode()),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn json_for_a_terminal_is_printable_and_has_the_same_value() {
        let json = "{\r\n\t\"a\": [\"\u{9b}2J\u{202e}\u{7f}\u{e0041}é\", 1e400]}";
        let line = json_line(json, true);
        assert_eq!(line, "{   \"a\": [\"\\u009b2J\\u202e\\u007f\\udb40\\udc41é\", 1e400]}");
        let json = json.replace("1e400", "1");
        let value: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&json_line(&json, true)).unwrap(), value);
        assert_eq!(serde_json::from_str::<Value>(&json_line(&json, false)).unwrap(), value);
    }

    #[test]
    fn json_for_a_file_keeps_its_characters_and_has_one_line() {
        assert_eq!(json_line("{\"a\":\n\"\u{202e}\"}", false), "{\"a\": \"\u{202e}\"}");
    }

    #[test]
    fn the_lines_of_an_error_stay_and_its_control_characters_are_escaped() {
        assert_eq!(
            printable_lines("it failed\n\nhint: é\u{1b}[2J\r"),
            "it failed\n\nhint: é\\u{1b}[2J\\u{d}"
        );
    }

    #[test]
    fn the_message_of_a_server_is_one_printable_line() {
        let (code, message) = ("no".to_owned(), "no\nerror: fake\u{1b}[2J".to_owned());
        let error = refusal(RequestError::Refused { code, message });
        assert_eq!(error.to_string(), "refused: no<U+000A>error: fake<U+001B>[2J");
    }
}
