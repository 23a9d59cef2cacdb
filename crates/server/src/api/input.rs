//! The input of an endpoint: the members of a JSON body, or the parameters of the path and the query.

use axum::body::Bytes;
use serde::de::DeserializeOwned;
use serde_path_to_error::Error;

use super::problem::Problem;

/// An input that is not read yet.
pub(super) enum Input {
    /// A JSON document.
    Body(Bytes),
    /// Parameters in the form of a query.
    Parameters(String),
}

impl Input {
    /// The bytes that make two inputs equal.
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Input::Body(body) => body,
            Input::Parameters(text) => text.as_bytes(),
        }
    }

    /// Reads the input; the problem names the invalid member.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        match self {
            Input::Body(body) => {
                // A list would be read as the members in their order.
                if body.trim_ascii_start().first().is_some_and(|first| *first != b'{') {
                    return Err(Problem::invalid("expected a JSON object"));
                }
                let mut json = serde_json::Deserializer::from_slice(body);
                let value = serde_path_to_error::deserialize(&mut json).map_err(problem)?;
                json.end().map_err(|error| Problem::invalid(error.to_string()))?;
                Ok(value)
            }
            Input::Parameters(text) => {
                let parameters = serde_urlencoded::Deserializer::new(form_urlencoded::parse(text.as_bytes()));
                serde_path_to_error::deserialize(parameters).map_err(problem)
            }
        }
    }
}

fn problem<E: std::fmt::Display>(error: Error<E>) -> Problem {
    match error.path().to_string() {
        // JSON that ends, or is broken, before a member is known.
        field if field == "." || field == "?" => Problem::invalid(error.inner().to_string()),
        field => Problem::invalid_field(field, error.inner()),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Example {
        room: String,
        limit: Option<u32>,
    }

    fn detail(input: Input) -> String {
        match input.read::<Example>() {
            Ok(example) => format!("{} {:?}", example.room, example.limit),
            Err(problem) => serde_json::to_value(problem).unwrap()["detail"].as_str().unwrap().to_owned(),
        }
    }

    #[test]
    fn an_invalid_member_or_parameter_is_named() {
        for (text, expected) in [
            ("room=a%20b&limit=7", "a b Some(7)"),
            ("room=x", "x None"),
            ("limit=7", "missing field `room`"),
            ("room=x&limit=many", "limit: invalid digit found in string"),
            ("room=x&limit=-1", "limit: invalid digit found in string"),
            ("room=x&max=1", "max: unknown field `max`, expected `room` or `limit`"),
            ("room=x&room=y", "duplicate field `room`"),
        ] {
            assert_eq!(detail(Input::Parameters(text.into())), expected, "{text}");
        }
        for (text, expected) in [
            (r#"{"room":"x","limit":7}"#, "x Some(7)"),
            (r#"{"room":7}"#, "room: invalid type: integer `7`, expected a string at line 1 column 9"),
            (r#"{"room":"x","room":"y"}"#, "duplicate field `room` at line 1 column 18"),
            (r#"{"room":"x"} 2"#, "trailing characters at line 1 column 14"),
            (r#"["x"]"#, "expected a JSON object"),
            ("{x", "key must be a string at line 1 column 2"),
            ("", "EOF while parsing a value at line 1 column 0"),
        ] {
            assert_eq!(detail(Input::Body(text.into())), expected, "{text}");
        }
    }
}
