//! Errors with their causes.

use std::error::Error;

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
    #[error("cannot read the file")]
    struct Outer(#[source] std::fmt::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("outside: {0}")]
    struct ShowsItsSource(#[source] std::fmt::Error);

    #[test]
    fn a_line_has_every_cause_once() {
        let cause = std::fmt::Error.to_string();
        assert_eq!(with_causes(&std::fmt::Error), cause);
        assert_eq!(with_causes(&Outer(std::fmt::Error)), format!("cannot read the file: {cause}"));
        assert_eq!(with_causes(&ShowsItsSource(std::fmt::Error)), format!("outside: {cause}"));
    }
}
