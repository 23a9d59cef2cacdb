//! Errors with their causes.

use std::error::Error;

use crate::printable::printable;

/// Most levels of an error that a log line shows: its message and its causes.
const LEVELS_MAX: usize = 16;

/// An error and its causes in one line, for `@error` and for texts: an error's own message covers its own level
/// only. A cause is skipped if the line ends with it already, because some errors include their source.
pub fn with_causes(error: &dyn Error) -> String {
    levels(error).join(": ")
}

/// The message of an error, then those of its causes. A cause that the message before it ends with is left out.
fn levels(error: &dyn Error) -> Vec<String> {
    let mut line = error.to_string();
    let mut levels = vec![line.clone()];
    let mut cause = error.source();
    while let Some(error) = cause.filter(|_| levels.len() < LEVELS_MAX) {
        let text = error.to_string();
        if !line.ends_with(&text) {
            line = format!("{line}: {text}");
            levels.push(text);
        }
        cause = error.source();
    }
    levels
}

/// The levels of an error as they may be logged, each of them [`printable`].
///
/// Its `Display` is its own level. For subscribers that write it as it is, a text that could look like further fields
/// of the line is quoted; [`text`](Self::text) is never quoted.
#[derive(Debug)]
pub struct PrintableError {
    text: String,
    cause: Option<Box<PrintableError>>,
}

impl PrintableError {
    /// The levels of an error, and of its causes.
    pub fn of(error: &dyn Error) -> Self {
        let chained = |cause: Option<Box<Self>>, text: &String| {
            Some(Box::new(PrintableError { text: printable(text), cause }))
        };
        let first = levels(error).iter().rev().fold(None, chained);
        *first.expect("an error has a message")
    }

    /// The message of this level.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// All messages in one line.
    pub fn line(&self) -> String {
        self.causes().fold(self.text.clone(), |line, cause| format!("{line}: {cause}"))
    }

    /// The messages of its causes.
    pub fn causes(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(self.cause.as_deref(), |error| error.cause.as_deref()).map(Self::text)
    }
}

impl std::fmt::Display for PrintableError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.text.contains(['=', '"']) {
            true => write!(f, "{:?}", self.text),
            false => f.write_str(&self.text),
        }
    }
}

impl Error for PrintableError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }
}

/// An error with its causes as a field of a log line: `error = printable_error(&error)`. A subscriber that knows errors
/// gets the causes one by one.
pub fn printable_error(error: &dyn Error) -> Box<dyn Error + Send + Sync> {
    Box::new(PrintableError::of(error))
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

    #[derive(Debug, thiserror::Error)]
    #[error("level {0}")]
    struct Nested(usize, #[source] Option<Box<Nested>>);

    #[test]
    fn a_line_has_every_cause_once() {
        let cause = std::fmt::Error.to_string();
        assert_eq!(with_causes(&std::fmt::Error), cause);
        assert_eq!(with_causes(&Outer(std::fmt::Error)), format!("cannot read the file: {cause}"));
        assert_eq!(with_causes(&ShowsItsSource(std::fmt::Error)), format!("outside: {cause}"));
    }

    #[test]
    fn a_printable_error_has_its_causes_one_by_one() {
        let error = PrintableError::of(&Outer(std::fmt::Error));
        assert_eq!(error.text(), "cannot read the file");
        assert_eq!(error.causes().collect::<Vec<_>>(), [std::fmt::Error.to_string()]);
        assert!(PrintableError::of(&ShowsItsSource(std::fmt::Error)).source().is_none());
        let endless = (0..1000).fold(None, |inner, n| Some(Box::new(Nested(n, inner))));
        assert_eq!(PrintableError::of(&*endless.expect("there are some")).causes().count(), LEVELS_MAX - 1);
    }

    #[test]
    fn an_error_cannot_end_its_line_or_look_like_further_fields() {
        let error = |text: &str| printable_error(&*Box::<dyn Error>::from(text)).to_string();
        assert_eq!(error("not found"), "not found");
        assert_eq!(error("a\nb \u{1b}[2J"), "a<U+000A>b <U+001B>[2J");
        assert_eq!(error("no user=7"), "\"no user=7\"");
        assert_eq!(error("no\" user\""), "\"no\\\" user\\\"\"");
    }
}
