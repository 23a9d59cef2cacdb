//! CPU time and memory of the server, and the work of the Redis behind it, since a start.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::clock::now;
use crate::options::Options;
use crate::process::{Process, listening_on};
use crate::redis::{Counters, Redis};
use crate::report::{RedisWork, Report};

/// The processes that are measured.
pub(crate) struct Meters {
    servers: Vec<Process>,
    other: Option<Process>,
    redis: Option<Redis>,
}

/// The counters at the start of a measurement.
pub(crate) struct Start {
    pub(crate) since: Instant,
    cpu: Duration,
    other: Duration,
    redis: Option<Counters>,
}

impl Meters {
    pub(crate) fn new(options: &Options) -> Result<Self> {
        let process = |port| listening_on(port).map(Process::new);
        let servers = match options.pid.is_empty() {
            false => options.pid.iter().map(|pid| Process::new(*pid)).collect(),
            true => options.server.iter().map(|server| process(server.port())).collect::<Result<_>>()?,
        };
        let other = options.other.map(|other| process(other.port())).transpose()?;
        Ok(Meters { servers, other, redis: options.redis.map(Redis::new).transpose()? })
    }

    fn cpu(&self) -> Result<Duration> {
        self.servers.iter().map(Process::cpu).sum()
    }

    /// Resident memory of all servers together.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        self.servers.iter().map(Process::resident_bytes).sum()
    }

    fn other_cpu(&self) -> Result<Duration> {
        self.other.as_ref().map_or(Ok(Duration::ZERO), Process::cpu)
    }

    /// The counters of Redis so far; `None` without a Redis.
    pub(crate) fn redis(&self) -> Result<Option<Counters>> {
        self.redis.as_ref().map(Redis::counters).transpose()
    }

    pub(crate) fn start(&self) -> Result<Start> {
        Ok(Start { since: now(), cpu: self.cpu()?, other: self.other_cpu()?, redis: self.redis()? })
    }

    /// The cost since the start. `count` is the number of deliveries or of other units, `messages` of messages sent.
    pub(crate) fn report(&self, messages: u64, count: u64, start: Start) -> Result<Report> {
        let (seconds, used) = (start.since.elapsed().as_secs_f64(), self.cpu()? - start.cpu);
        let used_by_other = (self.other_cpu()? - start.other).as_secs_f64() * 1e6 / seconds;
        let redis = start.redis.zip(self.redis()?);
        Ok(Report {
            count,
            seconds,
            cpu_us: Some(used.as_secs_f64() * 1e6 / count as f64),
            other_cpu_us_per_s: self.other.is_some().then_some(used_by_other),
            redis: redis.map(|(before, after)| RedisWork::of(after.since(&before), messages as f64)),
            ..Report::default()
        })
    }
}
