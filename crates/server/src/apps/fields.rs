//! Members of an event's data. They are read one by one, so that other members, whatever they contain, neither
//! refuse the event nor change when they are forwarded.

use switchboard::{Payload, ReplyError};

/// A member that must be a string.
pub(super) fn text(data: &Payload, field: &str) -> Result<String, ReplyError> {
    optional_text(data, field).ok_or_else(|| {
        let expected = format!("{{\"{field}\":\"…\"}}");
        ReplyError::bad_data(format!("`{field}` is not a string; expected an object such as {expected}"))
    })
}

/// A member, if it is a string.
pub(super) fn optional_text(data: &Payload, field: &str) -> Option<String> {
    data.member(field)?.to_text().map(String::from)
}
