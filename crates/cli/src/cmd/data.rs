//! Data in arguments: JSON, or else text.

use serde_json::value::{RawValue, to_raw_value};

/// The argument as JSON if it is JSON, and otherwise as a string. It is not parsed into a value, because JSON
/// numbers may exceed the range of f64.
pub(super) fn json_or_text(argument: &str) -> serde_json::Result<Box<RawValue>> {
    serde_json::from_str(argument).or_else(|_| to_raw_value(argument))
}
