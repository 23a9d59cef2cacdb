//! The result of a scenario.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::Serialize;

/// Figures of one run; `None` for figures that the scenario does not measure.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// Deliveries, round trips, connections or changes.
    pub(crate) count: u64,
    /// Length of the measurement in seconds.
    pub(crate) seconds: f64,
    /// CPU time per unit of all nodes together, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu_us: Option<f64>,
    /// CPU time per unit by part (nodes, dispatcher, Redis, all), in microseconds.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) parts_cpu_us: BTreeMap<&'static str, f64>,
    /// Memory of the server per connection, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bytes_each: Option<f64>,
    /// Bytes of messages per unit that all clients received together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) received_bytes: Option<f64>,
    /// CPU time of the other node, in microseconds per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) other_cpu_us_per_s: Option<f64>,
    /// Work of Redis per message or other unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) redis: Option<RedisWork>,
    /// Work of Redis per step.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) steps: BTreeMap<&'static str, RedisWork>,
    /// Latencies in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) latency_us: Option<Latency>,
}

/// Work of Redis per unit.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct RedisWork {
    /// CPU time in microseconds.
    pub(crate) cpu_us: f64,
    /// Reads from connections; a pipeline is one read.
    pub(crate) reads: f64,
    /// Calls of each command, including calls by scripts.
    pub(crate) commands: BTreeMap<String, f64>,
}

/// Latencies in microseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Latency {
    /// Half of them are below.
    pub(crate) p50: u64,
    /// 90 % are below.
    pub(crate) p90: u64,
    /// 99 % are below.
    pub(crate) p99: u64,
    /// 99.9 % are below.
    pub(crate) p999: u64,
    /// The longest.
    pub(crate) max: u64,
}

impl Latency {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        Latency { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: histogram.max() }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "count      {}  in {:.2} s ({:.0}/s)",
            self.count,
            self.seconds,
            self.count as f64 / self.seconds
        )?;
        if let Some(us) = self.cpu_us {
            writeln!(f, "server CPU {us:.2} µs each")?;
        }
        for (part, us) in &self.parts_cpu_us {
            writeln!(f, "{part:<10} {us:.2} µs CPU each")?;
        }
        if let Some(bytes) = self.bytes_each {
            writeln!(f, "memory     {bytes:.0} B each")?;
        }
        if let Some(bytes) = self.received_bytes {
            writeln!(f, "received   {bytes:.0} B each")?;
        }
        if let Some(us) = self.other_cpu_us_per_s {
            writeln!(f, "other node {us:.0} µs CPU a second")?;
        }
        if let Some(work) = &self.redis {
            writeln!(f, "Redis      {work}")?;
        }
        for (step, work) in &self.steps {
            writeln!(f, "{step:<10} {work}")?;
        }
        if let Some(Latency { p50, p90, p99, p999, max }) = &self.latency_us {
            writeln!(f, "latency    p50 {p50} µs  p90 {p90}  p99 {p99}  p99.9 {p999}  max {max}")?;
        }
        Ok(())
    }
}

impl fmt::Display for RedisWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} µs CPU, {:.2} reads", self.cpu_us, self.reads)?;
        self.commands
            .iter()
            .filter(|(_, count)| **count >= 0.005)
            .try_for_each(|(name, count)| write!(f, ", {count:.2} {name}"))
    }
}

/// Latencies from 1 µs to 60 s with three significant digits.
pub(crate) fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 60_000_000, 3)?)
}
