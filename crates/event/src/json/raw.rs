//! Values and strings as they were written.

use std::borrow::Cow;

use serde_json::value::RawValue;

/// A JSON string as it was written, with its quotes and escapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text<'a> {
    pub(super) json: &'a str,
    pub(super) has_escapes: bool,
}

/// A complete JSON value as it was written. Unlike serde's `RawValue`, it is found without a second parser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raw<'a> {
    pub(super) json: &'a str,
    /// It is a string with a backslash.
    pub(super) has_escapes: bool,
}

impl<'a> Text<'a> {
    /// `None` if the value is not a string.
    pub fn of(json: &'a RawValue) -> Option<Self> {
        json.get().starts_with('"').then(|| Text::new(json.get()))
    }

    pub(super) fn new(json: &'a str) -> Self {
        Text { json, has_escapes: json.contains('\\') }
    }

    /// The string as it was written.
    pub fn as_json(self) -> &'a str {
        self.json
    }

    /// The string without quotes and escapes. `None` if it contains half of a surrogate pair.
    pub fn unescape(self) -> Option<Cow<'a, str>> {
        match self.has_escapes {
            true => serde_json::from_str(self.json).ok().map(Cow::Owned),
            false => Some(Cow::Borrowed(&self.json[1..self.json.len() - 1])),
        }
    }

    pub(super) fn into_raw(self) -> Raw<'a> {
        Raw { json: self.json, has_escapes: self.has_escapes }
    }
}

impl<'a> Raw<'a> {
    /// The value as it was written.
    pub fn get(self) -> &'a str {
        self.json
    }

    /// The string; `None` for another value.
    pub fn text(self) -> Option<Text<'a>> {
        self.json.starts_with('"').then_some(Text { json: self.json, has_escapes: self.has_escapes })
    }
}
