//! Reads a tree of settings by their types.
//!
//! A variable or a flag is text. Its meaning is decided by the type of the setting: for a string it is
//! the string, whatever it looks like; for a number it has to be a number. A value of a file has the type
//! that TOML gives it, and is never converted.

use std::fmt;

use serde::de::value::{SeqDeserializer, StrDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, Error, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    Visitor,
};

use super::tree::{Content, Node, REMOVED, Table, value};

/// Why a tree cannot be read.
#[derive(Debug)]
pub(super) struct ReadError {
    /// The key from its end: the innermost name is first.
    path: Vec<String>,
    pub(super) problem: ReadProblem,
}

/// The fault of a setting. None of the texts contains its value, which may be secret.
#[derive(Debug)]
pub(super) enum ReadProblem {
    /// The value is not of this type.
    Expected(String),
    /// The value is not one of these.
    NotOneOf(&'static [&'static str]),
    /// There is no such setting beside these.
    Unknown(&'static [&'static str]),
    /// The type's own words.
    Other(String),
}

impl ReadError {
    fn new(problem: ReadProblem) -> Self {
        ReadError { path: Vec::new(), problem }
    }

    fn inside(mut self, name: &str) -> Self {
        self.path.push(name.into());
        self
    }

    /// The names on the way to the setting, the outermost first.
    pub(super) fn path(&self) -> Vec<&str> {
        self.path.iter().rev().map(String::as_str).collect()
    }

    /// The key, such as `limits.messages_per_s`, or `limits.rules[2].per` in the second section of a list.
    pub(super) fn key(&self) -> String {
        self.path().join(".").replace(".[", "[")
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.key(), self.problem)
    }
}

impl std::error::Error for ReadError {}

impl Error for ReadError {
    fn custom<T: fmt::Display>(text: T) -> Self {
        ReadError::new(ReadProblem::Other(text.to_string()))
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        ReadError::new(ReadProblem::Expected(expected.to_string()))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        ReadError::new(ReadProblem::Expected(expected.to_string()))
    }

    fn unknown_variant(_: &str, known: &'static [&'static str]) -> Self {
        ReadError::new(ReadProblem::NotOneOf(known))
    }

    fn unknown_field(_: &str, known: &'static [&'static str]) -> Self {
        ReadError::new(ReadProblem::Unknown(known))
    }
}

/// Reads a setting, or a section with its settings.
#[derive(Clone, Copy)]
pub(super) enum Reader<'a> {
    /// A section.
    Table(&'a Table),
    /// A value of a file.
    Toml(&'a toml::Value),
    /// A value of a variable or a flag.
    Text(&'a str),
}

impl<'a> From<&'a Node> for Reader<'a> {
    fn from(node: &'a Node) -> Self {
        match &node.content {
            Content::Table(table) => Reader::Table(table),
            Content::Toml(value) => Reader::Toml(value),
            Content::Text(text) => Reader::Text(text),
        }
    }
}

impl Reader<'_> {
    /// Visits the value in its own type.
    fn visit<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self {
            Reader::Table(table) => {
                visitor.visit_map(Entries::of(table.iter().map(|(name, node)| (name, Reader::from(node)))))
            }
            Reader::Text(text) => visitor.visit_str(text),
            Reader::Toml(toml::Value::String(text)) => visitor.visit_str(text),
            Reader::Toml(toml::Value::Integer(number)) => visitor.visit_i64(*number),
            Reader::Toml(toml::Value::Float(number)) => visitor.visit_f64(*number),
            Reader::Toml(toml::Value::Boolean(is_true)) => visitor.visit_bool(*is_true),
            Reader::Toml(toml::Value::Datetime(_)) => {
                Err(Error::invalid_type(Unexpected::Other("a date"), &visitor))
            }
            Reader::Toml(toml::Value::Array(list)) => {
                visitor.visit_seq(Items { rest: list.iter().enumerate() })
            }
            Reader::Toml(toml::Value::Table(table)) => {
                visitor.visit_map(Entries::of(table.iter().map(|(name, value)| (name, Reader::Toml(value)))))
            }
        }
    }

    /// Visits a text as the value that TOML reads in it, if `accepts` this value, and otherwise as a
    /// text.
    fn visit_parsed<'de, V: Visitor<'de>>(
        self,
        accepts: fn(&toml::Value) -> bool,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match self {
            Reader::Text(text) => match value(text).filter(accepts) {
                Some(value) => Reader::Toml(&value).visit(visitor),
                None => visitor.visit_str(text),
            },
            other => other.visit(visitor),
        }
    }
}

fn is_number(value: &toml::Value) -> bool {
    value.is_integer() || value.is_float()
}

/// A list of strings or of sections. A list of anything else is a string that looks like one.
fn is_list(value: &toml::Value) -> bool {
    value.as_array().is_some_and(|list| list.iter().all(|item| item.is_str() || item.is_table()))
}

macro_rules! read_numbers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
            self.visit_parsed(is_number, visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = ReadError;

    /// For settings that are a number or a word.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.visit_parsed(is_number, visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.visit_parsed(toml::Value::is_bool, visitor)
    }

    read_numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64
    }

    /// A text is a list if it is one in TOML, with every string in quotes. Any other text is one item;
    /// if it begins with `[`, it is passed as a string, because most types take it for a mistake.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self {
            Reader::Text(text) if !text.is_empty() && !text.trim_start().starts_with('[') => {
                visitor.visit_seq(SeqDeserializer::new(std::iter::once(self)))
            }
            other => other.visit_parsed(is_list, visitor),
        }
    }

    /// A list is refused: serde would take its items for the settings in the order of their declaration.
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        if let Reader::Toml(toml::Value::Array(_)) = self {
            return Err(Error::invalid_type(Unexpected::Seq, &"a section with settings"));
        }
        self.visit_parsed(toml::Value::is_table, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match self {
            Reader::Text(text) => visitor.visit_enum(StrDeserializer::new(text)),
            Reader::Toml(toml::Value::String(text)) => visitor.visit_enum(StrDeserializer::new(text)),
            _ => Err(ReadError::new(ReadProblem::NotOneOf(known))),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.visit(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.visit(visitor)
    }

    serde::forward_to_deserialize_any! {
        char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, ReadError> for Reader<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// The items of a list. An error in a section gets its number, from 1.
struct Items<I> {
    rest: I,
}

impl<'de, 'a, I: Iterator<Item = (usize, &'a toml::Value)>> SeqAccess<'de> for Items<I> {
    type Error = ReadError;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, ReadError> {
        let Some((at, value)) = self.rest.find(|(_, value)| value.as_str() != Some(REMOVED)) else {
            return Ok(None);
        };
        let read = seed.deserialize(Reader::Toml(value));
        read.map(Some).map_err(|error| match value {
            toml::Value::Table(_) => error.inside(&format!("[{}]", at + 1)),
            _ => error,
        })
    }
}

/// The settings of a section. An error in one of them gets its name.
struct Entries<'a, I> {
    rest: I,
    next: Option<(&'a String, Reader<'a>)>,
}

impl<'a, I: Iterator<Item = (&'a String, Reader<'a>)>> Entries<'a, I> {
    fn of(rest: I) -> Self {
        Entries { rest, next: None }
    }
}

impl<'de, 'a, I: Iterator<Item = (&'a String, Reader<'a>)>> MapAccess<'de> for Entries<'a, I> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        self.next = self.rest.next();
        let Some((name, _)) = self.next else { return Ok(None) };
        let key = StrDeserializer::<ReadError>::new(name);
        seed.deserialize(key).map(Some).map_err(|error| error.inside(name))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let (name, reader) = self.next.take().expect("serde asks for a value after its key");
        seed.deserialize(reader).map_err(|error| error.inside(name))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::super::tree::{Source, merge};
    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Settings {
        text: String,
        maybe: Option<String>,
        path: std::path::PathBuf,
        number: u16,
        is_on: bool,
        list: Vec<String>,
        inner: Inner,
        kind: Option<Kind>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Inner {
        number: i64,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        One,
        Two,
    }

    fn read(sets: &[(&str, &str)]) -> Result<Settings, ReadError> {
        let mut table = Table::new();
        for (key, text) in sets {
            let path: Vec<&str> = key.split('.').collect();
            let (name, node) = Node::text_at(&path, text, &Source::Flag("test".into()));
            merge(&mut table, name, node);
        }
        Settings::deserialize(Reader::Table(&table))
    }

    #[test]
    fn a_text_is_read_as_it_is_if_the_setting_is_text() {
        for text in [
            "0012345678901234",
            "+1234567",
            "-0",
            " blanks ",
            "",
            "[abc,def]",
            "[\"a\"]",
            "{a = 1}",
            "true",
            "1e5",
            "1.10",
            "0x10",
            "1979-05-27",
            "\"quoted\"",
            "'quoted'",
            "a # b",
            "nan",
            "1_000",
            "\t",
        ] {
            let settings = read(&[("text", text), ("maybe", text), ("path", text)]).unwrap();
            assert_eq!((&*settings.text, settings.maybe.as_deref()), (text, Some(text)));
            assert_eq!(settings.path.to_str(), Some(text));
        }
    }

    #[test]
    fn a_text_is_parsed_if_the_setting_is_a_number_a_switch_or_a_word() {
        for (text, number) in [("7", 7), (" 7 ", 7), ("0", 0), ("1_000", 1000), ("0x10", 16), ("+5", 5)] {
            assert_eq!(read(&[("number", text)]).unwrap().number, number, "{text}");
        }
        assert!(read(&[("is_on", "true")]).unwrap().is_on);
        assert_eq!(read(&[("kind", "two")]).unwrap().kind, Some(Kind::Two));
        for (key, bad) in [
            ("number", "007"),
            ("number", "-1"),
            ("number", "65536"),
            ("number", "1.5"),
            ("number", "many"),
            ("number", "true"),
            ("number", ""),
            ("number", "[1]"),
            ("number", "99999999999999999999"),
            ("is_on", "yes"),
            ("is_on", "1"),
            ("is_on", "True"),
            ("is_on", ""),
            ("kind", "TWO"),
            ("kind", "three"),
            ("inner", "5"),
            ("inner", ""),
            ("list", ""),
            ("list", "[abc, def]"),
            ("list", "[1, 2]"),
            ("inner.number", "x"),
            ("inner", "{number = \"x\"}"),
        ] {
            let error = read(&[(key, bad)]).expect_err(bad);
            let key = if bad.contains("number =") { "inner.number" } else { key };
            assert_eq!(error.key(), key, "{bad}");
        }
    }

    #[test]
    fn a_list_is_one_item_or_a_list_of_strings_in_quotes() {
        for (text, list) in [
            ("a", &["a"][..]),
            ("a, b", &["a, b"]),
            ("5", &["5"]),
            ("true", &["true"]),
            ("{a}", &["{a}"]),
            ("[\"a\", 'b']", &["a", "b"]),
            (" [\"a\"] ", &["a"]),
            ("[]", &[]),
        ] {
            assert_eq!(read(&[("list", text)]).unwrap().list, list, "{text}");
        }
    }

    #[test]
    fn an_unknown_setting_is_named_wherever_it_stands() {
        for (key, text, named) in [
            ("nothing", "1", "nothing"),
            ("inner.nothing", "1", "inner.nothing"),
            ("inner", "{x = 1}", "inner.x"),
        ] {
            let error = read(&[(key, text)]).unwrap_err();
            assert!(matches!(error.problem, ReadProblem::Unknown(_)), "{error}");
            assert_eq!(error.key(), named);
        }
    }
}
