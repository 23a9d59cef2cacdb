//! Errors of decoding a frame.

use switchboard_event::json::DEPTH_MAX;

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
    /// Only the server may send this event or operation.
    #[error("`{0}` is reserved for the server")]
    Reserved(String),
    /// Arrays and objects are nested too deeply.
    #[error("frame nests deeper than {DEPTH_MAX} levels")]
    TooDeep,
}

impl DecodeError {
    /// The kind of error in one word, for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            DecodeError::NotAnObject(_) => "not_an_object",
            DecodeError::MissingField(_) => "missing_field",
            DecodeError::WrongField { .. } => "wrong_field",
            DecodeError::TooLong { .. } => "too_long",
            DecodeError::TooManyRecipients { .. } => "too_many_recipients",
            DecodeError::Reserved(_) => "reserved",
            DecodeError::TooDeep => "too_deep",
        }
    }
}
