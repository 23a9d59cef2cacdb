//! Connections open, join a room of their own, leave it and close, one at a time: the cost of each step
//! in Redis.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::peer::Peer;
use crate::redis::Counters;
use crate::report::{RedisWork, Report};
use crate::scenario::Bench;

/// Pause between steps, so that no two share a pipeline.
const APART: Duration = Duration::from_millis(5);

/// Time for delayed work of a server, such as the unsubscribe of an empty room.
const LATER: Duration = Duration::from_secs(3);

impl Bench {
    pub(crate) async fn step_costs(&self) -> Result<Report> {
        let (count, protocol) = (self.connections(500)?, self.options.protocol);
        // A permanent connection, so that none of the measured ones is the first or the last.
        let _kept = Peer::connect(self.server(0), protocol, &protocol.path(None), 0).await?;
        let start = self.start()?;
        let steps = Steps { bench: self, count, idle: self.idle_work().await? };
        let mut peers = Vec::with_capacity(count);
        let mut report = Report::default();
        let mut note = |name, work| report.steps.insert(name, work);
        note(
            "connect",
            steps
                .each(async |number| {
                    peers.push(Peer::connect(self.server(0), protocol, &protocol.path(None), number).await?);
                    Ok(())
                })
                .await?,
        );
        if protocol.has_rooms() {
            note("join", steps.each(async |number| peers[number].join(&room(number)).await).await?);
            note(
                "leave",
                steps
                    .each(async |number| {
                        let leave =
                            protocol.request("/leave", &format!(r#"{{"room":"{}"}}"#, room(number)))?;
                        peers[number].request(&leave).await
                    })
                    .await?,
            );
        }
        note(
            "close",
            steps.each(async |_| peers.pop().context("each connection closes once")?.close().await).await?,
        );
        let Report { steps, .. } = report;
        Ok(Report { steps, ..self.report(count as u64, start)? })
    }

    /// Work of Redis in a second without load.
    async fn idle_work(&self) -> Result<Counters> {
        const SECONDS: u32 = 6;
        tokio::time::sleep(LATER).await;
        let before = self.redis_counters()?;
        tokio::time::sleep(Duration::from_secs(SECONDS.into())).await;
        let done = self.redis_counters()?.since(&before);
        Ok(done.less(&done, 1.0 - 1.0 / f64::from(SECONDS)))
    }

    fn redis_counters(&self) -> Result<Counters> {
        self.meters.redis()?.context("this scenario needs --redis")
    }
}

fn room(number: usize) -> String {
    format!("step-{number}")
}

struct Steps<'a> {
    bench: &'a Bench,
    count: usize,
    idle: Counters,
}

impl Steps<'_> {
    /// Runs a step for one connection after another. Returns the work of Redis per step.
    async fn each(&self, mut step: impl AsyncFnMut(usize) -> Result<()>) -> Result<RedisWork> {
        let (before, since) = (self.bench.redis_counters()?, crate::clock::now());
        for number in 0..self.count {
            step(number).await?;
            tokio::time::sleep(APART).await;
        }
        tokio::time::sleep(LATER).await;
        let done = self.bench.redis_counters()?.since(&before);
        Ok(RedisWork::of(done.less(&self.idle, since.elapsed().as_secs_f64()), self.count as f64))
    }
}
