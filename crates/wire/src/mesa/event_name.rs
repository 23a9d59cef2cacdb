//! The event names of Mesa messages.
//!
//! A Mesa message has a number, its operation, and perhaps a type. With operation 0 the type is the event's
//! name. Any other operation, and a missing type, become part of the name: `@op/7/TYPE` or `@op/7`.

use switchboard_event::{Name, NameError};

/// How the event name of an operation begins.
pub(crate) const PREFIX: &str = "@op/";

/// The event name of a message with this operation and type. Fails if the name would be too long.
pub fn event_name(op: i64, kind: Option<&Name>) -> Result<Name, NameError> {
    match (op, kind) {
        (0, Some(kind)) if !kind.starts_with(PREFIX) => Ok(kind.clone()),
        (op, Some(kind)) => Name::new(&format!("{PREFIX}{op}/{kind}")),
        (op, None) => Name::new(&format!("{PREFIX}{op}")),
    }
}

/// The operation and the type of the message with this event name; the inverse of [`event_name`].
pub fn op_and_type(name: &str) -> (i64, Option<&str>) {
    let Some(rest) = name.strip_prefix(PREFIX) else { return (0, Some(name)) };
    let (number, kind) = rest.split_once('/').map_or((rest, None), |(number, kind)| (number, Some(kind)));
    number.parse().map_or((0, Some(name)), |number| (number, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operation_and_type_round_trip_through_the_event_name() {
        for (op, kind, text) in [
            (0, Some("PING"), "PING"),
            (0, None, "@op/0"),
            (7, None, "@op/7"),
            (-7, Some("a/b"), "@op/-7/a/b"),
            (0, Some("@op/5"), "@op/0/@op/5"),
        ] {
            let name = event_name(op, kind.map(|kind| Name::new(kind).unwrap()).as_ref()).unwrap();
            assert_eq!(name, text);
            assert_eq!(op_and_type(&name), (op, kind));
        }
        assert!(event_name(7, Some(&Name::new(&"x".repeat(256)).unwrap())).is_err());
        assert_eq!(op_and_type("@op/x"), (0, Some("@op/x")));
    }
}
