//! Names of events that Mesa says by another operation than 0, or without a type.
//!
//! Mesa's messages have a number, the operation, and perhaps a type. The type of operation 0 is the
//! event's name; `@op/7/TYPE` and `@op/7` stand for what has another operation or no type.

use crate::{Name, NameError};

const OP_HEAD: &str = "@op/";

/// The name of an event that is a message with this operation and type. Fails if that is too long.
pub fn mesa_name(op: i64, kind: Option<&Name>) -> Result<Name, NameError> {
    match (op, kind) {
        (0, Some(kind)) if !kind.starts_with(OP_HEAD) => Ok(kind.clone()),
        (op, Some(kind)) => Name::new(&format!("{OP_HEAD}{op}/{kind}")),
        (op, None) => Name::new(&format!("{OP_HEAD}{op}")),
    }
}

/// The operation and the type that a name stands for.
pub fn mesa_parts(name: &str) -> (i64, Option<&str>) {
    let Some(said) = name.strip_prefix(OP_HEAD) else { return (0, Some(name)) };
    let (number, kind) = said.split_once('/').map_or((said, None), |(number, kind)| (number, Some(kind)));
    number.parse().map_or((0, Some(name)), |number| (number, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_and_a_missing_type_survive_as_a_name() {
        for (op, kind, text) in [
            (0, Some("PING"), "PING"),
            (0, None, "@op/0"),
            (7, None, "@op/7"),
            (-7, Some("a/b"), "@op/-7/a/b"),
            (0, Some("@op/5"), "@op/0/@op/5"),
        ] {
            let name = mesa_name(op, kind.map(|kind| Name::new(kind).unwrap()).as_ref()).unwrap();
            assert_eq!(name, text);
            assert_eq!(mesa_parts(&name), (op, kind));
        }
        assert!(mesa_name(7, Some(&Name::new(&"x".repeat(256)).unwrap())).is_err());
        assert_eq!(mesa_parts("@op/x"), (0, Some("@op/x")));
    }
}
