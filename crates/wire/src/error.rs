//! Why a frame is not an event.

use std::error::Error;

use crate::DEPTH_MAX;

/// Why a frame from a peer did not become an event.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// It is not JSON, or not an object, or not UTF-8.
    #[error("frame is not a JSON object")]
    NotAnObject(#[from] serde_json::Error),
    /// A member that every frame has is not there.
    #[error("frame has no `{0}` field")]
    MissingField(&'static str),
    /// A member has a value that it cannot have.
    #[error("frame has a `{field}` field that is not {expected}")]
    WrongField {
        /// Which member.
        field: &'static str,
        /// What it has to be.
        expected: &'static str,
    },
    /// It is longer than any client of the protocol may send.
    #[error("message is over {max} UTF-16 units")]
    TooLong {
        /// The bound.
        max: usize,
    },
    /// Only the server says such an event.
    #[error("`{0}` is an event of the platform")]
    Reserved(String),
    /// Arrays and objects stand in each other too deep.
    #[error("frame nests deeper than {DEPTH_MAX} levels")]
    TooDeep,
}

/// An error with its causes in one line, for logs and `@error`: an error's own message speaks of
/// its own level only. A cause that the line ends with already, because someone else's error shows
/// its source itself, is not said twice.
pub fn with_causes(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.ends_with(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outside: {0}")]
    struct ShowsItsSource(#[source] DecodeError);

    #[test]
    fn a_line_has_every_cause_once() {
        let not_json = || DecodeError::from(serde_json::from_str::<()>("no JSON").unwrap_err());
        assert_eq!(not_json().to_string(), "frame is not a JSON object");
        let line = "frame is not a JSON object: expected ident at line 1 column 2";
        assert_eq!(with_causes(&not_json()), line);
        assert_eq!(with_causes(&ShowsItsSource(not_json())), format!("outside: {line}"));
        assert_eq!(with_causes(&DecodeError::MissingField("event")), "frame has no `event` field");
    }
}
