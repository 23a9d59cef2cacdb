//! What the server, and the Redis behind it, have used since a moment.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::Options;
use crate::clock::now;
use crate::process::{Process, listening_on};
use crate::redis::{Counters, Redis};
use crate::report::{RedisWork, Report};
use crate::scenario::Bench;

/// Everything that is measured from outside.
pub(crate) struct Meters {
    servers: Vec<Process>,
    other: Option<Process>,
    redis: Option<Redis>,
}

/// When something began, and how much was used by then.
pub(crate) struct Start {
    pub(crate) since: Instant,
    cpu: Duration,
    other: Duration,
    redis: Option<Counters>,
}

impl Meters {
    pub(crate) fn new(options: &Options) -> Result<Self> {
        let process = |port| listening_on(port).map(Process::new);
        let servers = match options.pid {
            Some(pid) => vec![Process::new(pid)],
            None => options.server.iter().map(|server| process(server.port())).collect::<Result<_>>()?,
        };
        let other = options.other.map(|other| process(other.port())).transpose()?;
        Ok(Meters { servers, other, redis: options.redis.map(Redis::new).transpose()? })
    }

    fn cpu(&self) -> Result<Duration> {
        self.servers.iter().map(Process::cpu).sum()
    }

    /// Memory that all servers hold.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        self.servers.iter().map(Process::resident_bytes).sum()
    }

    fn other_cpu(&self) -> Result<Duration> {
        self.other.as_ref().map_or(Ok(Duration::ZERO), Process::cpu)
    }

    /// What Redis has done so far; none if there is none.
    pub(crate) fn redis(&self) -> Result<Option<Counters>> {
        self.redis.as_ref().map(Redis::counters).transpose()
    }
}

impl Bench {
    pub(crate) fn start(&self) -> Result<Start> {
        let Bench { meters, .. } = self;
        Ok(Start { since: now(), cpu: meters.cpu()?, other: meters.other_cpu()?, redis: meters.redis()? })
    }

    /// What `count` things have cost since the start.
    pub(crate) fn report(&self, count: u64, start: Start) -> Result<Report> {
        self.report_of_messages(count, count, start)
    }

    /// What `count` deliveries of some messages have cost since the start.
    pub(crate) fn report_of_messages(&self, messages: u64, count: u64, start: Start) -> Result<Report> {
        let Bench { meters, .. } = self;
        let (seconds, used) = (start.since.elapsed().as_secs_f64(), meters.cpu()? - start.cpu);
        let used_by_other = (meters.other_cpu()? - start.other).as_secs_f64() * 1e6 / seconds;
        let redis = start.redis.zip(meters.redis()?);
        Ok(Report {
            count,
            seconds,
            cpu_us: Some(used.as_secs_f64() * 1e6 / count as f64),
            other_cpu_us_per_s: meters.other.is_some().then_some(used_by_other),
            redis: redis.map(|(before, after)| RedisWork::of(after.since(&before), messages as f64)),
            ..Report::default()
        })
    }
}
