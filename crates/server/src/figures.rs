//! Figures over time: a sample of this node's metrics every 5 s for an hour, and every minute for a day.
//!
//! A sample is read from the text of `/metrics`, so both always show the same. The rings hold at most 720 and 1,440 samples of
//! about 400 bytes, 0.9 MB together. Nodes do not exchange samples; a query of nodes reads their rings.

mod columns;
mod ring;
mod series;
mod text;

use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use metrics_exporter_prometheus::PrometheusHandle;
use serde::{Deserialize, Serialize};
use switchboard::App;

use crate::metrics;
use columns::Columns;
use ring::Ring;
pub(crate) use series::Series;

/// Time between two samples, in milliseconds.
pub(crate) const INTERVAL_MS: u64 = 5000;

/// Samples of the last hour.
const HOUR_MAX: usize = 720;

/// Samples of the ring of the hour that are added up to one of the day.
const PER_MINUTE: u64 = 12;

/// Samples of the last day.
const DAY_MAX: usize = 1440;

/// The figures of this node.
pub(crate) struct Figures {
    app: App,
    prometheus: PrometheusHandle,
    columns: Columns,
    state: Mutex<State>,
}

struct State {
    /// The values of all columns at the last sample, for the increase of counters.
    last: Option<Vec<f64>>,
    hour: Ring,
    day: Ring,
}

/// Which ring is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Range {
    Hour,
    Day,
}

impl Range {
    pub(crate) fn interval_ms(self) -> u64 {
        match self {
            Range::Hour => INTERVAL_MS,
            Range::Day => INTERVAL_MS * PER_MINUTE,
        }
    }
}

impl Figures {
    pub(crate) fn new(app: App, prometheus: PrometheusHandle) -> Self {
        let columns = Columns::new();
        let state = State { last: None, hour: Ring::new(HOUR_MAX), day: Ring::new(DAY_MAX) };
        Figures { app, prometheus, columns, state: Mutex::new(state) }
    }

    /// Takes samples for ever, at whole multiples of the interval, so that those of all nodes fit together.
    pub(crate) async fn run(&self) -> Infallible {
        loop {
            let now = now_ms();
            tokio::time::sleep(Duration::from_millis(INTERVAL_MS - now % INTERVAL_MS)).await;
            self.take((now / INTERVAL_MS) + 1);
        }
    }

    /// Takes the sample with a number.
    fn take(&self, number: u64) {
        metrics::sample(&self.app);
        let values = self.columns.read(&metrics::render(&self.prometheus));
        let mut state = self.lock();
        let State { last, hour, day } = &mut *state;
        // The increase since the start of the process is not that of an interval.
        let row = self.columns.row(last.as_deref().unwrap_or(&values), &values);
        hour.push(number, row);
        if (number + 1).is_multiple_of(PER_MINUTE) {
            let minute = number / PER_MINUTE;
            let rows = hour.after((minute * PER_MINUTE).saturating_sub(1)).map(|(_, row)| row);
            let row = self.columns.merge_in_time(rows);
            day.push(minute, row);
        }
        *last = Some(values);
    }

    /// The samples of this node after the one with a number.
    pub(crate) fn read(&self, range: Range, after: u64) -> Series {
        let state = self.lock();
        let ring = match range {
            Range::Hour => &state.hour,
            Range::Day => &state.day,
        };
        self.columns.series(ring.after(after))
    }

    /// Adds the samples of nodes up. Samples that a node does not have yet are left out, unless it lags behind by more than
    /// two.
    pub(crate) fn add(&self, nodes: &[Series]) -> Series {
        self.columns.add(nodes)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code that holds the rings panics")
    }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
