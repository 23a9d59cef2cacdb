//! Secrets: strings that are read and never shown.

use std::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A string that is never shown.
#[derive(Clone, PartialEq)]
pub struct Secret(String);

impl Secret {
    /// The string itself. Do not log or print it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match <[Secret; 1]>::try_from(Secrets::deserialize(deserializer)?.0) {
            Ok([secret]) => Ok(secret),
            Err(_) => Err(D::Error::custom("expected one string")),
        }
    }
}

/// One secret or several.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Secrets(Vec<Secret>);

impl Secrets {
    /// The secrets in the order of the settings.
    pub fn iter(&self) -> impl Iterator<Item = &Secret> {
        self.0.iter()
    }

    /// Returns true if there is no secret.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of secrets.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl<'de> Deserialize<'de> for Secrets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretsVisitor)
    }
}

/// Also accepts a whole number, because digits without quotes are one in a variable or a flag.
/// Its errors do not contain the value.
struct SecretsVisitor;

const EXPECTED: &str = "a string or a list of strings, in quotes if it looks like something else";

impl<'de> Visitor<'de> for SecretsVisitor {
    type Value = Secrets;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_str<E>(self, text: &str) -> Result<Secrets, E> {
        Ok(Secrets(vec![Secret(text.into())]))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Secrets, E> {
        Ok(Secrets(vec![Secret(number.to_string())]))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Secrets, E> {
        Ok(Secrets(vec![Secret(number.to_string())]))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Secrets, E> {
        Err(E::custom(format!("expected {EXPECTED}")))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Secrets, E> {
        Err(E::custom(format!("expected {EXPECTED}")))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Secrets, A::Error> {
        let mut secrets = Vec::new();
        while let Some(Secrets(one)) = list.next_element()? {
            secrets.extend(one);
        }
        Ok(Secrets(secrets))
    }
}
