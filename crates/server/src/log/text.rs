//! Lines for people: the message, then `name=value` for each field.

use std::error::Error;
use std::fmt::{self, Debug};

use switchboard_log::{Printable, with_causes};
use tracing_subscriber::field::{RecordFields, Visit};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

/// Writes the fields of a line. Text of other libraries contains text from outside, too, so all of it is printable.
pub(super) struct TextFields;

impl<'w> FormatFields<'w> for TextFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut visitor = Fields { writer, is_first: true, written: Ok(()) };
        fields.record(&mut visitor);
        visitor.written
    }
}

struct Fields<'w> {
    writer: Writer<'w>,
    is_first: bool,
    written: fmt::Result,
}

impl Fields<'_> {
    fn write(&mut self, name: &str, value: fmt::Arguments<'_>) {
        let space = if std::mem::take(&mut self.is_first) { "" } else { " " };
        let written = match name {
            "message" => write!(self.writer, "{space}{}", Printable(value)),
            name => write!(self.writer, "{space}{name}={}", Printable(value)),
        };
        self.written = self.written.and(written);
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn Debug) {
        self.write(field.name(), format_args!("{value:?}"));
    }

    /// In quotes, so that its text cannot look like further fields.
    fn record_error(&mut self, field: &tracing::field::Field, error: &(dyn Error + 'static)) {
        let text = match error.downcast_ref::<switchboard_log::PrintableError>() {
            Some(error) => error.line(),
            None => with_causes(error),
        };
        self.write(field.name(), format_args!("{text:?}"));
    }
}
