//! The object of a frame, and the strings in it.

use std::borrow::Cow;

use switchboard_event::json::{DEPTH_MAX, Raw, Text, for_each_raw_member, is_deeper_than};

use crate::DecodeError;

/// Calls `visit` with the name and the value of each member of a frame. A name that contains half of a surrogate pair is
/// skipped: Rust cannot represent it, and no protocol defines such a name.
pub(crate) fn read_members<'a>(
    frame: &'a [u8],
    mut visit: impl FnMut(&str, Raw<'a>),
) -> Result<(), DecodeError> {
    if is_deeper_than(DEPTH_MAX, frame) {
        return Err(DecodeError::TooDeep);
    }
    for_each_raw_member(frame, |name, value| {
        if let Some(name) = name.unescape() {
            visit(&name, value);
        }
    })?;
    Ok(())
}

/// The string; `None` for another value, and for a string that Rust cannot represent.
pub(crate) fn text_of(json: Raw<'_>) -> Option<Cow<'_, str>> {
    json.text().and_then(Text::unescape)
}
