//! Why a frame is not an event.

use crate::DEPTH_MAX;

/// Why a frame from a peer did not become an event.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// It is not JSON, or not an object, or not UTF-8.
    #[error("frame is not a JSON object: {0}")]
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
    /// It is longer than any client of the dialect may send.
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
