//! Errors of decoding a frame.

use std::error::Error;

use crate::DEPTH_MAX;

/// Why a frame of a peer is not a valid event.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// It is not a JSON object in UTF-8.
    #[error("frame is not a JSON object")]
    NotAnObject(#[from] serde_json::Error),
    /// A required member is missing.
    #[error("frame has no `{0}` field")]
    MissingField(&'static str),
    /// A member has an invalid value.
    #[error("frame has a `{field}` field that is not {expected}")]
    WrongField {
        /// The member.
        field: &'static str,
        /// The expected value.
        expected: &'static str,
    },
    /// It exceeds the protocol's bound on frames of clients.
    #[error("message is over {max} UTF-16 units")]
    TooLong {
        /// The bound.
        max: usize,
    },
    /// It has more recipients than a message may have.
    #[error("message has over {max} recipients")]
    TooManyRecipients {
        /// The bound.
        max: usize,
    },
    /// Only the server may send this event.
    #[error("`{0}` is an event of the platform")]
    Reserved(String),
    /// Arrays and objects are nested too deeply.
    #[error("frame nests deeper than {DEPTH_MAX} levels")]
    TooDeep,
}

/// An error and its causes in one line, for logs and `@error`: an error's own message covers its own level
/// only. A cause is skipped if the line ends with it already, because some errors include their source.
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
