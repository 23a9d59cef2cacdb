//! Checks JSON in one pass, without an allocation, and finds the members of an object.
//!
//! It accepts the texts that `serde_json` accepts (RFC 8259; half of a surrogate pair may be escaped), and nothing else.
//! `serde_json` calls a parser for each name and value; here a frame is one loop over its bytes.

use serde_json::value::RawValue;

use super::raw::{Raw, Text};

/// Arrays and objects that may be open inside a value. `serde_json` reads a value with more.
const OPEN_MAX: u32 = u64::BITS;

/// Bytes of a string that are examined at once.
const STEP: usize = size_of::<u64>();

/// A place in a text.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Scanner { text, at: 0 }
    }

    /// Passes a text that is one object, and calls `visit` for each member. `None` if it is anything else.
    pub(super) fn members(mut self, mut visit: impl FnMut(Text<'a>, Raw<'a>)) -> Option<()> {
        self.skip_space();
        self.expect(b'{')?;
        self.skip_space();
        if !self.take(b'}') {
            loop {
                let name = self.name()?;
                let value = self.value()?;
                visit(name, value);
                self.skip_space();
                match self.next()? {
                    b',' => self.skip_space(),
                    b'}' => break,
                    _ => return None,
                }
            }
        }
        self.skip_space();
        (self.at == self.text.len()).then_some(())
    }

    /// Passes the name of a member, and the colon.
    fn name(&mut self) -> Option<Text<'a>> {
        let name = self.string()?;
        self.skip_space();
        self.expect(b':')?;
        self.skip_space();
        Some(name)
    }

    fn value(&mut self) -> Option<Raw<'a>> {
        let start = self.at;
        match self.peek()? {
            b'"' => return self.string().map(Text::into_raw),
            b'{' | b'[' => self.nested(start)?,
            _ => self.scalar()?,
        }
        Some(Raw { json: &self.text[start..self.at], has_escapes: false })
    }

    /// Passes an array or object.
    fn nested(&mut self, start: usize) -> Option<()> {
        // One bit for each open array (0) or object (1); the innermost is the lowest.
        let (mut kinds, mut open) = (0_u64, 0);
        loop {
            match self.peek()? {
                opening @ (b'{' | b'[') => {
                    if open == OPEN_MAX {
                        return self.deep_value(start);
                    }
                    (self.at, open) = (self.at + 1, open + 1);
                    kinds = (kinds << 1) | u64::from(opening == b'{');
                    self.skip_space();
                    let is_empty = matches!((self.peek()?, opening), (b'}', b'{') | (b']', b'['));
                    if !is_empty {
                        if opening == b'{' {
                            self.name()?;
                        }
                        continue;
                    }
                }
                b'"' => drop(self.string()?),
                _ => self.scalar()?,
            }
            // After a value, or before the end of an empty array or object.
            loop {
                self.skip_space();
                match (self.next()?, kinds & 1 == 1) {
                    (b',', is_object) => {
                        self.skip_space();
                        if is_object {
                            self.name()?;
                        }
                        break;
                    }
                    (b'}', true) | (b']', false) => (kinds, open) = (kinds >> 1, open - 1),
                    _ => return None,
                }
                if open == 0 {
                    return Some(());
                }
            }
        }
    }

    /// Passes a value of any depth, which begins at `start`.
    fn deep_value(&mut self, start: usize) -> Option<()> {
        let mut values = serde_json::Deserializer::from_str(&self.text[start..]).into_iter::<&RawValue>();
        values.next()?.ok()?;
        self.at = start + values.byte_offset();
        Some(())
    }

    /// Passes a number, `true`, `false` or `null`.
    fn scalar(&mut self) -> Option<()> {
        match self.peek()? {
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            _ => None,
        }
    }

    fn literal(&mut self, literal: &str) -> Option<()> {
        let is_equal = self.rest().starts_with(literal.as_bytes());
        self.at += literal.len();
        is_equal.then_some(())
    }

    fn number(&mut self) -> Option<()> {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digits()?;
        }
        Some(())
    }

    /// Passes one digit or more.
    fn digits(&mut self) -> Option<()> {
        let count = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        (count > 0).then_some(())
    }

    fn string(&mut self) -> Option<Text<'a>> {
        let (start, mut has_escapes) = (self.at, false);
        self.expect(b'"')?;
        loop {
            self.at += plain_bytes(self.rest());
            match self.next()? {
                b'"' => break,
                b'\\' => {
                    has_escapes = true;
                    self.escape()?;
                }
                // A control character.
                _ => return None,
            }
        }
        Some(Text { json: &self.text[start..self.at], has_escapes })
    }

    /// Passes an escape after its backslash.
    fn escape(&mut self) -> Option<()> {
        match self.next()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => {
                let digits = self.rest().get(..4)?;
                self.at += 4;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(())
            }
            _ => None,
        }
    }

    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.take(byte).then_some(())
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\t' | b'\r')) {
            self.at += 1;
        }
    }
}

/// The number of bytes before the first quote, backslash or control character, or all of them.
fn plain_bytes(bytes: &[u8]) -> usize {
    let mut passed = 0;
    while let Some(step) = bytes[passed..].first_chunk::<STEP>() {
        let special = special_bytes(u64::from_le_bytes(*step));
        if special != 0 {
            return passed + special.trailing_zeros() as usize / 8;
        }
        passed += STEP;
    }
    let rest = &bytes[passed..];
    passed + rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | ..0x20)).unwrap_or(rest.len())
}

/// The highest bit of each byte that is a quote, a backslash or a control character. Bytes above such a byte may be wrong; the
/// lowest one is right ("Determine if a word has a zero byte", Bit Twiddling Hacks).
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const HIGHEST_BITS: u64 = ONES << 7;
    let every = |byte: u8| ONES * u64::from(byte);
    let is_zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let is_control = word.wrapping_sub(every(0x20)) & !word;
    (is_zero(word ^ every(b'"')) | is_zero(word ^ every(b'\\')) | is_control) & HIGHEST_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_special_byte_is_found_at_every_place() {
        for len in 0..40 {
            for fill in [b'a', b' ', b'!', b'#', b'[', b']', 0x7f, 0x80, 0xa2, 0xdc, 0xff] {
                let mut bytes = vec![fill; len];
                assert_eq!(plain_bytes(&bytes), len);
                for place in 0..len {
                    for special in [b'"', b'\\', 0, 0x1f, b'\n'] {
                        bytes[place] = special;
                        assert_eq!(plain_bytes(&bytes), place, "{special} at {place} of {len} among {fill}");
                    }
                    bytes[place] = fill;
                }
            }
        }
    }
}
