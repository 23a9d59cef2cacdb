//! Secrets: strings that are read and never shown.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
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
        String::deserialize(deserializer).map(Secret)
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
        deserializer.deserialize_seq(SecretsVisitor)
    }
}

/// Its errors do not contain the value.
struct SecretsVisitor;

impl<'de> Visitor<'de> for SecretsVisitor {
    type Value = Secrets;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of strings")
    }

    fn visit_str<E>(self, text: &str) -> Result<Secrets, E> {
        Ok(Secrets(vec![Secret(text.into())]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Secrets, A::Error> {
        let mut secrets = Vec::new();
        while let Some(secret) = list.next_element()? {
            secrets.push(secret);
        }
        Ok(Secrets(secrets))
    }
}

/// Replaces everything that can be a password, even in a string that is not a valid address.
pub(super) fn without_secrets(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), url),
    };
    let (secret, host) = match rest.rsplit_once('@') {
        Some((_, host)) => ("***@", host),
        None => ("", rest),
    };
    match host.split_once('?') {
        Some((host, _)) => format!("{scheme}{secret}{host}?***"),
        None => format!("{scheme}{secret}{host}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, with};
    use super::*;

    #[test]
    fn a_secret_is_one_string_or_a_list_and_is_never_shown() {
        for (value, secrets) in [
            ("a s3cret of more than 32 bytes, so long", &["a s3cret of more than 32 bytes, so long"][..]),
            ("0012345678901234567890123456789012", &["0012345678901234567890123456789012"]),
            ("+1234567890123456789012345678901234", &["+1234567890123456789012345678901234"]),
            (" s3cret with blanks at both its ends ", &[" s3cret with blanks at both its ends "]),
            ("[s3cret,and,no,list,without,quotes]", &["[s3cret,and,no,list,without,quotes]"]),
            ("[1234567890123456, 1234567890123456]", &["[1234567890123456, 1234567890123456]"]),
            ("{a = \"s3cret in something like a table\"}", &["{a = \"s3cret in something like a table\"}"]),
            ("\"s3cret in quotes, which belong to it\"", &["\"s3cret in quotes, which belong to it\""]),
            (
                "[\"s3cret that is the newer of both, 1\", \"s3cret that is the older of both, 2\"]",
                &["s3cret that is the newer of both, 1", "s3cret that is the older of both, 2"],
            ),
        ] {
            let config = with(&[&format!("auth.jwt_secret={value}")]).unwrap();
            let read: Vec<&str> = config.auth.jwt_secret.iter().map(Secret::reveal).collect();
            assert_eq!(read, secrets, "{value}");
            let shown = format!("{config:?}{}", config.to_toml());
            assert!(!shown.contains("s3cret") && !shown.contains("12345"), "{shown}");
            assert!(config.auth.verifier().unwrap().is_some());
        }
        for bad in ["auth.jwt_secret=", "auth.jwks_url=ftp://x", "auth.public_keys=[\"x\"]"] {
            let error = with(&[bad]).unwrap_err().to_string();
            assert!(error.contains(bad.split_once('=').unwrap().0), "{error}");
        }
        assert!(with(&[]).unwrap().auth.verifier().unwrap().is_none());
    }

    #[test]
    fn a_secret_in_a_file_is_a_string_in_quotes() {
        let scratch = switchboard_testkit::Scratch::new();
        let file = scratch.file("switchboard.toml");
        for (value, secrets) in [
            ("\"0012345678901234567890123456789012\"", &["0012345678901234567890123456789012"][..]),
            ("'[abc,def] is a secret, and not a list'", &["[abc,def] is a secret, and not a list"]),
            ("\"[\\\"one\\\", \\\"two\\\"] is no list either\"", &["[\"one\", \"two\"] is no list either"]),
        ] {
            std::fs::write(&file, format!("[auth]\njwt_secret = {value}\n")).unwrap();
            let config = Config::load(Some(file.as_ref()), &[]).unwrap();
            assert_eq!(
                config.auth.jwt_secret.iter().map(Secret::reveal).collect::<Vec<_>>(),
                secrets,
                "{value}"
            );
        }
        for (key, value) in [
            ("auth.jwt_secret", "12345678901234"),
            ("auth.jwt_secret", "99999999999999999999999999"),
            ("auth.jwt_secret", "1234567e8"),
            ("auth.jwt_secret", "true"),
            ("auth.jwt_secret", "[\"1234567\", 1234567]"),
            ("auth.jwt_secret", "1234-05-06T07:08:09Z"),
            ("auth.issuers.chess.jwt_secret", "12345678901234"),
            ("api.keys", "12345678901234567"),
            ("redis.sentinel_password", "1234567"),
            ("redis.url", "1234567"),
        ] {
            std::fs::write(&file, format!("{key} = {value}\n")).unwrap();
            let error = Config::load(Some(file.as_ref()), &[]).unwrap_err().to_string();
            assert!(error.contains(&file) && error.contains('1'), "{key} = {value}: {error}");
            assert!(!error.contains("1234") && !error.contains("9999"), "{key} = {value}: {error}");
            if value == "12345678901234" {
                let expected = format!("{key} is `***` ({file}:1); expected a string or a list of strings");
                assert_eq!(error, format!("{expected}\n\nhint: put it in quotes"));
            }
        }
    }

    #[test]
    fn a_value_in_place_of_a_section_with_secrets_is_not_shown() {
        let scratch = switchboard_testkit::Scratch::new();
        let file = scratch.file("switchboard.toml");
        for key in ["auth", "api", "auth.issuers", "auth.issuers.chess"] {
            for value in ["\"s3cret\"", "[\"s3cret\"]", "[[\"s3cret\"]]"] {
                std::fs::write(&file, format!("{key} = {value}\n")).unwrap();
                let error = Config::load(Some(file.as_ref()), &[]).expect_err(value).to_string();
                assert!(error.starts_with(&format!("{key} is `***` ({file}:1)")), "{error}");
                assert!(!error.contains("s3cret"), "{error}");
            }
            let error = with(&[&format!("{key}=s3cret")]).unwrap_err().to_string();
            assert!(error.contains(key) && !error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn a_syntax_error_in_a_file_is_reported_without_the_line() {
        let scratch = switchboard_testkit::Scratch::new();
        let file = scratch.file("switchboard.toml");
        for value in
            ["\"s3cret", "s3cret", "[\"older\", s3cret]", "\"s3cret\" # one\njwt_secret = \"s3cret\""]
        {
            std::fs::write(&file, format!("[auth]\njwt_secret = {value}\n")).unwrap();
            let error = Config::load(Some(file.as_ref()), &[]).unwrap_err().to_string();
            assert!(error.starts_with(&file) && error.contains("line "), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
