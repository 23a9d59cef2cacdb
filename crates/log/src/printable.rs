//! Text from outside as it may be printed: on one line, without effect on a terminal, and short.

use std::fmt::{self, Display, Write};

/// Longest text that [`printable`] returns, in bytes, without the `…` that marks a cut.
pub const PRINTABLE_BYTES_MAX: usize = 1024;

/// A text from outside for a field of a log line.
///
/// Characters that are not printable are written as their code point: control characters, line separators,
/// and invisible characters such as those that change the direction of text. A text over
/// [`PRINTABLE_BYTES_MAX`] is cut.
///
/// It is a `String`, and not a `Display`, because subscribers quote strings in text and JSON: a value that
/// contains spaces cannot look like further fields.
///
/// ```
/// use switchboard_log::printable;
///
/// assert_eq!(printable("lobby 7"), "lobby 7");
/// assert_eq!(printable("a\nERROR \u{1b}[31mb\u{202e}"), "a<U+000A>ERROR <U+001B>[31mb<U+202E>");
/// ```
pub fn printable(text: impl Display) -> String {
    Printable(text).to_string()
}

/// [`printable`] as a `Display`, for output that is not a log line.
pub struct Printable<T>(pub T);

impl<T: Display> Display for Printable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut writer = Writer { to: f, bytes_left: Some(PRINTABLE_BYTES_MAX) };
        write!(writer, "{}", self.0)
    }
}

struct Writer<'a, 'b> {
    to: &'a mut fmt::Formatter<'b>,
    /// `None` after the cut.
    bytes_left: Option<usize>,
}

impl Write for Writer<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|char| self.write_char(char))
    }

    fn write_char(&mut self, char: char) -> fmt::Result {
        let Some(left) = self.bytes_left else { return Ok(()) };
        let is_printable = is_printable(char);
        let len = if is_printable { char.len_utf8() } else { escaped_len(char) };
        self.bytes_left = left.checked_sub(len);
        match is_printable {
            _ if self.bytes_left.is_none() => self.to.write_char('…'),
            true => self.to.write_char(char),
            false => write!(self.to, "<U+{:04X}>", u32::from(char)),
        }
    }
}

fn escaped_len(char: char) -> usize {
    "<U+>".len() + if u32::from(char) > 0xffff { 6 } else { 4 }
}

/// Returns true if a character has a visible form, or is a space or an accent of another character.
pub fn is_printable(char: char) -> bool {
    if char.is_ascii() {
        return !char.is_ascii_control();
    }
    // The tables of the standard library, which are private. Behind a letter, an accent is printable.
    let mut text = [b'a', 0, 0, 0, 0];
    let len = char.encode_utf8(&mut text[1..]).len();
    let text = str::from_utf8(&text[..=len]).expect("two encoded characters are UTF-8");
    text.escape_debug().nth(1) == Some(char)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn control_format_and_separator_characters_are_written_as_code_points() {
        for char in ('\0'..' ').chain('\u{7f}'..'\u{a0}') {
            assert_eq!(printable(char), format!("<U+{:04X}>", u32::from(char)));
        }
        for char in
            "\u{ad}\u{61c}\u{200b}\u{200e}\u{2028}\u{2029}\u{202a}\u{202e}\u{2066}\u{2069}\u{feff}".chars()
        {
            assert_eq!(printable(char), format!("<U+{:04X}>", u32::from(char)));
        }
        assert_eq!(printable("\u{e0041}"), "<U+E0041>");
        assert_eq!(printable("\u{e000}"), "<U+E000>");
    }

    #[test]
    fn text_of_any_language_stays_readable() {
        for text in ["a \"b\" \\ c=d", "grüße", "привет", "नमस्ते", "สวัสดี", "שלום", "日本語", "e\u{301}", "🎲"]
        {
            assert_eq!(printable(text), text);
        }
    }

    #[test]
    fn a_long_text_is_cut_and_marked() {
        let longest = "x".repeat(PRINTABLE_BYTES_MAX);
        assert_eq!(printable(&longest), longest);
        assert_eq!(printable(format!("{longest}y")), format!("{longest}…"));
        let escapes = "\u{1b}".repeat(PRINTABLE_BYTES_MAX);
        assert_eq!(printable(escapes).len(), PRINTABLE_BYTES_MAX / 8 * 8 + '…'.len_utf8());
        assert!(printable("é".repeat(1 << 20)).len() <= PRINTABLE_BYTES_MAX + '…'.len_utf8());
    }

    proptest! {
        #[test]
        fn every_character_of_the_result_is_printable(text in any::<String>()) {
            let shown = printable(&text);
            prop_assert!(shown.chars().all(is_printable), "{shown:?}");
            prop_assert_eq!(printable(&shown), shown);
        }
    }
}
