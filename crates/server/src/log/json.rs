//! Lines for programs: one JSON object each.
//!
//! `{"timestamp":…,"level":…,"fields":{"message":…,…},"target":…}`. An error has its message in `error` and the messages
//! of its causes in `causes`.

use std::error::Error;
use std::fmt::{self, Debug};

use serde_json::{Map, Value, json};
use switchboard_log::{PrintableError, printable};
use tracing::field::Field;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::field::Visit;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Fields of events of the `log` crate, which describe their place in the code.
const LOG_CRATE: &str = "log.";

/// Writes a line for each event.
pub(super) struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let mut fields = Fields { values: Map::new(), target: metadata.target().to_owned() };
        event.record(&mut fields);
        let Fields { values, target } = fields;
        writeln!(writer, "{}", line(metadata.level(), values, &target))
    }
}

/// The line for the error that ends the process.
pub(super) fn failure(error: &(dyn Error + 'static), exit_status: u8) -> Value {
    let mut fields = Fields { values: Map::new(), target: "switchboard".into() };
    fields.set("message", "switchboard failed".into());
    fields.set_error("error", &PrintableError::of(error));
    fields.set("exit_status", exit_status.into());
    line(&Level::ERROR, fields.values, &fields.target)
}

fn line(level: &Level, fields: Map<String, Value>, target: &str) -> Value {
    let mut timestamp = String::new();
    // A String accepts all text.
    let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
    json!({ "timestamp": timestamp, "level": level.as_str(), "fields": fields, "target": target })
}

struct Fields {
    values: Map<String, Value>,
    target: String,
}

impl Fields {
    fn set(&mut self, name: &str, value: Value) {
        match name.strip_prefix(LOG_CRATE) {
            None => drop(self.values.insert(name.to_owned(), value)),
            Some("target") => self.target = value.as_str().unwrap_or_default().to_owned(),
            Some(_) => {}
        }
    }

    fn set_error(&mut self, name: &str, error: &PrintableError) {
        self.set(name, one_line(error.text()).into());
        let causes: Vec<String> = error.causes().map(one_line).collect();
        if !causes.is_empty() {
            self.set("causes", causes.into());
        }
    }
}

/// Errors of settings have their hint on a line of its own, which [`printable`] has escaped.
fn one_line(text: &str) -> String {
    text.replace("<U+000A><U+000A>", "; ").replace("<U+000A>", "; ")
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no infinite numbers; they become null.
        self.set(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field.name(), printable(value).into());
    }

    fn record_error(&mut self, field: &Field, error: &(dyn Error + 'static)) {
        match error.downcast_ref::<PrintableError>() {
            Some(error) => self.set_error(field.name(), error),
            None => self.set_error(field.name(), &PrintableError::of(error)),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.set(field.name(), printable(format_args!("{value:?}")).into());
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use switchboard_log::{limited, printable_error};
    use tracing_subscriber::fmt;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(line)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that `events` logs.
    fn logged(events: impl FnOnce()) -> Vec<Value> {
        let lines = Lines::default();
        let writer = lines.clone();
        let log = fmt().event_format(JsonLines).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(log, events);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
    }

    #[derive(Debug, thiserror::Error)]
    #[error("cannot reach Redis")]
    struct Unreachable(#[source] io::Error);

    #[test]
    fn a_line_has_the_fields_by_their_types_and_an_error_with_its_causes() {
        let error = Unreachable(io::Error::other("connection refused"));
        let lines = logged(|| {
            let (missing, name) = (None::<u64>, "a\"b\n");
            limited!(
                WARN,
                count = 7,
                name,
                missing,
                is_on = true,
                error = printable_error(&error),
                "it {}",
                "failed"
            );
            limited!(INFO, "done");
        });
        let fields = json!({
            "message": "it failed", "count": 7, "name": "a\"b<U+000A>", "is_on": true,
            "error": "cannot reach Redis", "causes": ["connection refused"],
        });
        assert_eq!((&lines[0]["fields"], &lines[0]["level"]), (&fields, &json!("WARN")));
        assert_eq!(lines[0]["target"], "switchboard_server::log::json::tests");
        assert!(lines[0]["timestamp"].as_str().unwrap().ends_with('Z'), "{}", lines[0]);
        assert_eq!(lines[1]["fields"], json!({ "message": "done" }));
    }

    #[test]
    fn the_error_that_ends_the_process_is_a_line_like_the_others() {
        let line = failure(&Unreachable(io::Error::other("a\n\nhint: b")), 2);
        assert_eq!(
            line["fields"],
            json!({
                "message": "switchboard failed", "error": "cannot reach Redis", "causes": ["a; hint: b"], "exit_status": 2,
            })
        );
    }
}
