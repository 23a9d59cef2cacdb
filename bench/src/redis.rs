//! The work of a Redis by its own counters.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result};

use crate::process::{Process, listening_on};
use crate::report::RedisWork;

/// A connection to Redis.
pub(crate) struct Redis {
    process: Process,
    stream: RefCell<BufReader<TcpStream>>,
}

/// Counters since the start of Redis, or their difference over a period.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Counters {
    pub(crate) cpu_us: f64,
    pub(crate) reads: f64,
    pub(crate) commands: BTreeMap<String, f64>,
}

impl Redis {
    pub(crate) fn new(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).context("Redis does not answer")?;
        let process = Process::new(listening_on(address.port())?);
        Ok(Redis { process, stream: RefCell::new(BufReader::new(stream)) })
    }

    /// The counters without the cost of reading them.
    pub(crate) fn counters(&self) -> Result<Counters> {
        let cpu_us = self.process.cpu()?.as_secs_f64() * 1e6;
        let mut counters = read_info(&self.info()?);
        counters.cpu_us = cpu_us;
        Ok(counters)
    }

    fn info(&self) -> Result<String> {
        let mut stream = self.stream.borrow_mut();
        stream.get_mut().write_all(b"INFO everything\r\n")?;
        let mut head = String::new();
        stream.read_line(&mut head)?;
        let len: usize = head.trim().strip_prefix('$').context("Redis refuses INFO")?.parse()?;
        let mut text = vec![0; len + 2];
        stream.read_exact(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

fn read_info(text: &str) -> Counters {
    let mut counters = Counters::default();
    for (key, value) in text.lines().filter_map(|line| line.split_once(':')) {
        if let Some(command) = key.strip_prefix("cmdstat_").filter(|command| *command != "info") {
            let calls = value.split(',').find_map(|part| part.strip_prefix("calls="));
            let calls = calls.and_then(|calls| calls.parse().ok()).unwrap_or_default();
            counters.commands.insert(command.to_owned(), calls);
        }
        if key == "total_reads_processed" {
            counters.reads = value.parse().unwrap_or_default();
        }
    }
    // Every INFO itself is one read.
    let calls_of_info =
        text.lines().find_map(|line| line.strip_prefix("cmdstat_info:calls=")?.split(',').next());
    counters.reads -= calls_of_info.and_then(|calls| calls.parse().ok()).unwrap_or(0.0);
    counters
}

impl Counters {
    /// The difference to earlier counters.
    pub(crate) fn since(&self, before: &Counters) -> Counters {
        self.less(before, 1.0)
    }

    /// The counters minus `times` the other counters.
    pub(crate) fn less(&self, other: &Counters, times: f64) -> Counters {
        let of_other = |name: &str| other.commands.get(name).copied().unwrap_or_default() * times;
        let commands = self.commands.iter().map(|(name, count)| (name.clone(), count - of_other(name)));
        Counters {
            cpu_us: self.cpu_us - other.cpu_us * times,
            reads: self.reads - other.reads * times,
            commands: commands.collect(),
        }
    }
}

impl RedisWork {
    /// The work per unit of `count`, without commands that did not run.
    pub(crate) fn of(done: Counters, count: f64) -> Self {
        let Counters { cpu_us, reads, commands } = done;
        let commands = commands.into_iter().map(|(name, calls)| (name, calls / count));
        let commands = commands.filter(|(_, each)| *each >= 0.001).collect();
        RedisWork { cpu_us: cpu_us / count, reads: reads / count, commands }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statistics_of_redis_are_parsed() {
        let text = |publishes: u32, infos: u32, reads: u32| {
            read_info(&format!(
                "# Stats\r\ntotal_reads_processed:{reads}\r\n# Commandstats\r\n\
                 cmdstat_publish:calls={publishes},usec=9,usec_per_call=3.00\r\n\
                 cmdstat_info:calls={infos},usec=9\r\ncmdstat_script|load:calls=2,usec=1\r\n"
            ))
        };
        let done = text(13, 2, 9).since(&text(3, 1, 4));
        let work = RedisWork::of(done, 10.0);
        assert_eq!(work.commands, BTreeMap::from([("publish".to_owned(), 1.0)]));
        assert_eq!(work.reads, 0.4, "one of five reads was INFO itself");
    }
}
