//! The columns of a sample: from which metric each comes, and how values become one.

use std::collections::{BTreeMap, HashMap};

use super::series::Series;
use super::text;
use crate::metrics::HANDLER_DURATION;

/// How values of an interval, and of nodes, become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The increase of a counter: added in time and over nodes.
    Count,
    /// A level: the mean in time, added over nodes.
    Level,
    /// A level of which the lowest matters.
    Lowest,
    /// A level of which the highest matters.
    Highest,
}

/// A column: the sum of all series of a metric with some labels.
pub(super) struct Column {
    name: String,
    metric: &'static str,
    /// As the text has them, such as `code="1000"`.
    labels: Vec<String>,
    kind: Kind,
}

/// All columns of a sample.
pub(super) struct Columns {
    all: Vec<Column>,
    by_metric: HashMap<&'static str, Vec<usize>>,
}

use Kind::{Count, Highest, Level, Lowest};

/// Name, metric and kind of each column without labels.
const PLAIN: &[(&str, &str, Kind)] = &[
    ("accepted", "switchboard_connections_accepted_total", Count),
    ("refused", "switchboard_connections_refused_total", Count),
    ("detached", "switchboard_detached_sessions", Level),
    ("received_bytes", "switchboard_received_bytes_total", Count),
    ("sent_bytes", "switchboard_sent_bytes_total", Count),
    ("deliveries", "switchboard_deliveries_total", Count),
    ("outbox_bytes", "switchboard_outbox_bytes", Level),
    ("queue_bytes", "switchboard_queue_bytes", Level),
    ("handler_calls", "switchboard_handler_duration_seconds_count", Count),
    ("handler_panics", "switchboard_handler_panics_total", Count),
    ("redis_up", "switchboard_redis_up", Lowest),
    ("redis_reconnects", "switchboard_redis_connections_replaced_total", Count),
    ("published", "switchboard_bus_published_total", Count),
    ("published_received", "switchboard_bus_received_total", Count),
    ("inbox_stored", "switchboard_inbox_stored_total", Count),
    ("inbox_acknowledged", "switchboard_inbox_acknowledged_total", Count),
    ("inbox_evicted", "switchboard_inbox_evicted_total", Count),
    ("inbox_expired", "switchboard_inbox_expired_total", Count),
    ("webhook_reports", "switchboard_webhook_reports_total", Count),
    ("webhook_lost", "switchboard_webhook_reports_lost_total", Count),
    ("webhook_backlog", "switchboard_webhook_backlog_reports", Level),
    ("webhook_age_s", "switchboard_webhook_backlog_age_seconds", Highest),
    ("api_requests", "switchboard_api_requests_total", Count),
    ("rate_limited", "switchboard_rate_limited_total", Count),
    ("memory_bytes", "process_resident_memory_bytes", Level),
];

/// Name, metric, label, its values and kind of the columns that a label divides; the value is appended to the name.
const BY_LABEL: &[(&str, &str, &str, &[&str], Kind)] = &[
    ("connections", "switchboard_connections", "protocol", &["emit", "koji", "mesa"], Level),
    ("messages", "switchboard_messages_received_total", "protocol", &["emit", "koji", "mesa"], Count),
    (
        "closed",
        "switchboard_connections_closed_total",
        "code",
        &[
            "1000", "1001", "1002", "1003", "1005", "1006", "1007", "1008", "1009", "1010", "1011", "1012",
            "1013", "3xxx", "4xxx",
        ],
        Count,
    ),
    (
        "undelivered",
        "switchboard_undelivered_total",
        "reason",
        &[
            "receiver_too_slow",
            "receiver_closing",
            "reserved_name",
            "receiver_gone",
            "no_receiver",
            "bus_full",
            "bus_down",
            "outbox_full",
            "bus_interrupted",
            "inbox_full",
            "inbox_failed",
            "undecodable",
        ],
        Count,
    ),
];

impl Columns {
    pub(super) fn new() -> Self {
        let plain = PLAIN.iter().map(|(name, metric, kind)| Column {
            name: (*name).to_owned(),
            metric,
            labels: Vec::new(),
            kind: *kind,
        });
        let by_label = BY_LABEL.iter().flat_map(|(name, metric, label, values, kind)| {
            values.iter().map(move |value| Column {
                name: format!("{name}_{value}"),
                metric,
                labels: vec![format!("{label}=\"{value}\"")],
                kind: *kind,
            })
        });
        // Each bucket contains those below it, as in Prometheus.
        let buckets = HANDLER_DURATION.iter().map(|bound| Column {
            name: format!("handler_le_{bound}"),
            metric: "switchboard_handler_duration_seconds_bucket",
            labels: vec![format!("le=\"{bound}\"")],
            kind: Count,
        });
        let all: Vec<Column> = plain.chain(by_label).chain(buckets).collect();
        let mut by_metric: HashMap<&'static str, Vec<usize>> = HashMap::new();
        for (place, column) in all.iter().enumerate() {
            by_metric.entry(column.metric).or_default().push(place);
        }
        Columns { all, by_metric }
    }

    /// The values of all columns in the text of `/metrics`.
    pub(super) fn read(&self, metrics: &str) -> Vec<f64> {
        let mut values = vec![0.0; self.all.len()];
        for (name, labels, value) in metrics.lines().filter_map(text::line) {
            for place in self.by_metric.get(name).into_iter().flatten() {
                let is_of_column = self.all[*place].labels.iter().all(|label| labels.contains(&**label));
                if is_of_column {
                    values[*place] = match self.all[*place].kind {
                        Highest => f64::max(values[*place], value),
                        _ => values[*place] + value,
                    };
                }
            }
        }
        values
    }

    /// The sample between two readings.
    pub(super) fn row(&self, before: &[f64], now: &[f64]) -> Box<[f32]> {
        let values =
            self.all.iter().zip(before.iter().zip(now)).map(|(column, (before, now))| match column.kind {
                Count => (now - before).max(0.0) as f32,
                _ => *now as f32,
            });
        values.collect()
    }

    /// Makes one sample of consecutive ones.
    pub(super) fn merge_in_time<'a>(&self, rows: impl Iterator<Item = &'a [f32]>) -> Box<[f32]> {
        let rows: Vec<&[f32]> = rows.collect();
        let merged = self.all.iter().enumerate().map(|(place, column)| {
            let values = rows.iter().map(|row| row[place]);
            match column.kind {
                Count => values.sum(),
                Level => values.sum::<f32>() / rows.len().max(1) as f32,
                Lowest => values.reduce(f32::min).unwrap_or_default(),
                Highest => values.reduce(f32::max).unwrap_or_default(),
            }
        });
        merged.collect()
    }

    /// Samples as series.
    pub(super) fn series<'a>(&self, rows: impl Iterator<Item = (u64, &'a [f32])>) -> Series {
        let (samples, rows): (Vec<u64>, Vec<&[f32]>) = rows.unzip();
        let figures = self.all.iter().enumerate().filter_map(|(place, column)| {
            let values: Vec<f32> = rows.iter().map(|row| row[place]).collect();
            values.iter().any(|value| *value != 0.0).then(|| (column.name.clone(), values))
        });
        Series { figures: figures.collect(), samples }
    }

    /// Adds the series of nodes up.
    pub(super) fn add(&self, nodes: &[Series]) -> Series {
        const LAG_MAX: u64 = 2;
        let lasts = || nodes.iter().filter_map(|node| node.samples.last().copied());
        let Some(newest) = lasts().max() else { return Series::default() };
        let end = lasts().filter(|last| last + LAG_MAX >= newest).min().unwrap_or(newest);
        let numbers =
            nodes.iter().flat_map(|node| node.samples.iter().copied()).filter(|number| *number <= end);
        let mut samples: Vec<u64> = numbers.collect();
        samples.sort_unstable();
        samples.dedup();
        let mut figures = BTreeMap::new();
        for column in &self.all {
            let mut values: Vec<Option<f32>> = vec![None; samples.len()];
            for node in nodes {
                let of_node = node.figures.get(&column.name);
                for (at, number) in node.samples.iter().enumerate() {
                    let Ok(place) = samples.binary_search(number) else { continue };
                    let value = of_node.and_then(|values| values.get(at)).copied().unwrap_or_default();
                    values[place] = Some(values[place].map_or(value, |sum| match column.kind {
                        Count | Level => sum + value,
                        Lowest => sum.min(value),
                        Highest => sum.max(value),
                    }));
                }
            }
            if values.iter().any(|value| value.is_some_and(|value| value != 0.0)) {
                figures
                    .insert(column.name.clone(), values.into_iter().map(Option::unwrap_or_default).collect());
            }
        }
        Series { samples, figures }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::METRICS;

    fn value(columns: &Columns, row: &[f32], name: &str) -> f32 {
        row[columns.all.iter().position(|column| column.name == name).expect("a column")]
    }

    #[test]
    fn every_column_is_of_a_metric_of_the_catalog_with_that_label() {
        for column in &Columns::new().all {
            let base = column.metric.trim_end_matches("_bucket").trim_end_matches("_count");
            let metric = METRICS.iter().find(|metric| [base, column.metric].contains(&metric.name));
            let metric = metric.unwrap_or_else(|| panic!("{} is not in the catalog", column.metric));
            for label in &column.labels {
                let (name, value) = label.trim_end_matches('"').split_once("=\"").expect("a label");
                let label = metric.labels.iter().find(|label| label.name == name);
                assert!(
                    name == "le" || label.is_some_and(|label| label.values.contains(&value)),
                    "{}",
                    column.name
                );
            }
        }
    }

    #[test]
    fn a_sample_has_the_increase_of_counters_and_the_level_of_gauges() {
        let columns = Columns::new();
        let text = |closed: u32, open: u32| {
            format!(
                "# TYPE x counter\nswitchboard_connections_closed_total{{protocol=\"emit\",code=\"1000\"}} {closed}\n\
                 switchboard_connections_closed_total{{protocol=\"koji\",code=\"1000\"}} 1\n\
                 switchboard_connections{{protocol=\"emit\"}} {open}\nswitchboard_redis_up 1\n"
            )
        };
        let (before, now) = (columns.read(&text(4, 9)), columns.read(&text(7, 2)));
        let row = columns.row(&before, &now);
        for (name, expected) in
            [("closed_1000", 3.0), ("closed_1001", 0.0), ("connections_emit", 2.0), ("redis_up", 1.0)]
        {
            assert_eq!(value(&columns, &row, name), expected, "{name}");
        }
        let minute =
            columns.merge_in_time([&row[..], &columns.row(&now, &columns.read(&text(8, 4)))].into_iter());
        assert_eq!(value(&columns, &minute, "closed_1000"), 4.0);
        assert_eq!(value(&columns, &minute, "connections_emit"), 3.0, "the mean");
        let restarted = columns.row(&now, &columns.read(""));
        assert_eq!(value(&columns, &restarted, "closed_1000"), 0.0, "a counter never decreases");
    }

    #[test]
    fn series_of_nodes_are_added_by_the_numbers_of_their_samples() {
        let columns = Columns::new();
        let series = |samples: &[u64], up: f32| Series {
            samples: samples.to_vec(),
            figures: BTreeMap::from([
                ("deliveries".to_owned(), samples.iter().map(|number| *number as f32).collect()),
                ("redis_up".to_owned(), vec![up; samples.len()]),
            ]),
        };
        let sum = columns.add(&[series(&[1, 2, 3], 1.0), series(&[2, 3, 4], 0.0)]);
        assert_eq!(sum.samples, [1, 2, 3], "one node has no sample 4 yet");
        assert_eq!(sum.figures["deliveries"], [1.0, 4.0, 6.0]);
        assert_eq!(sum.figures["redis_up"], [1.0, 0.0, 0.0]);
        let stuck = columns.add(&[series(&[1, 2], 1.0), series(&[7, 8], 1.0)]);
        assert_eq!(stuck.samples, [1, 2, 7, 8], "a node that lags far behind stops nobody");
        assert_eq!(columns.add(&[]), Series::default());
    }
}
