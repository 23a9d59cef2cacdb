//! The scenarios.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet, spawn_local};

use crate::clock::{micros, now};
use crate::peer::Peer;
use crate::process::{Process, open_files_max};
use crate::report::{Latency, Report, histogram};
use crate::room::Room;
use crate::{Options, Scenario};

/// The room that is measured.
const ROOM: &str = "bench";

/// How many connections are opened at the same time.
const OPENING_MAX: usize = 100;

pub(crate) async fn run(options: &Options, server: Process) -> Result<Report> {
    let bench = Bench { options: options.clone(), server };
    LocalSet::new()
        .run_until(async {
            match options.scenario {
                Scenario::FanOut => bench.fan_out().await,
                Scenario::FanOutClosed => bench.fan_out_closed().await,
                Scenario::Echo => bench.echo().await,
                Scenario::Idle => bench.idle().await,
                Scenario::Churn => bench.churn().await,
                Scenario::Fairness => bench.fairness().await,
            }
        })
        .await
}

/// A scenario's options, and the server it is for.
pub(crate) struct Bench {
    pub(crate) options: Options,
    pub(crate) server: Process,
}

/// When something began, and how much the server had done by then.
#[derive(Clone, Copy)]
pub(crate) struct Start {
    since: Instant,
    cpu: Duration,
}

impl Bench {
    pub(crate) fn connections(&self, default: usize) -> Result<usize> {
        let count = self.options.connections.unwrap_or(default);
        let files = open_files_max();
        ensure!(
            count + 100 < files,
            "{count} connections need more open files than the {files} allowed: ulimit -n"
        );
        Ok(count)
    }

    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.options.seconds)
    }

    async fn open(&self, count: usize) -> Result<Vec<Peer>> {
        let gate = Arc::new(Semaphore::new(OPENING_MAX));
        let mut opening = JoinSet::new();
        for number in 0..count {
            let (gate, server, protocol) = (gate.clone(), self.options.server, self.options.protocol);
            opening.spawn_local(async move {
                let _place = gate.acquire_owned().await?;
                Peer::connect(server, protocol, protocol.path(), number).await
            });
        }
        let mut peers = Vec::with_capacity(count);
        while let Some(peer) = opening.join_next().await {
            peers.push(peer??);
        }
        Ok(peers)
    }

    /// Opens receivers in the room and a sender.
    pub(crate) async fn room(&self, receivers: usize) -> Result<Room> {
        self.other_rooms().await?;
        for peer in self.open(self.options.outside).await? {
            spawn_local(ignore_everything(peer));
        }
        let mut peers = self.open(receivers).await?;
        let mut sender = self.open(1).await?.pop().context("one was asked for")?;
        for peer in peers.iter_mut().chain([&mut sender]) {
            peer.join(ROOM).await?;
        }
        Room::new(sender, peers)
    }

    /// Rooms that have nothing to do with the measured one, 500 to a connection.
    async fn other_rooms(&self) -> Result<()> {
        const EACH: usize = 500;
        let rooms = self.options.rooms;
        for (number, mut peer) in self.open(rooms.div_ceil(EACH)).await?.into_iter().enumerate() {
            for room in number * EACH..rooms.min((number + 1) * EACH) {
                peer.join(&format!("other-{room}")).await?;
            }
            spawn_local(ignore_everything(peer));
        }
        Ok(())
    }

    /// A message with the time in it, `bytes` of data long.
    pub(crate) fn message(&self) -> String {
        let head = format!(r#"{{"room":"{ROOM}","t":{},"pad":""#, micros());
        let pad = self.options.bytes.saturating_sub(head.len() + 2);
        let data = format!(r#"{head}{}"}}"#, "x".repeat(pad));
        self.options.protocol.event("/message", &data)
    }

    async fn fan_out(&self) -> Result<Report> {
        let count = self.connections(1000)?;
        let mut room = self.room(count).await?;
        let messages = (self.options.seconds * self.options.rate) as u64;
        let start = self.start()?;
        room.send_at_rate(messages, self.options.rate, |_| self.message()).await?;
        self.after_fan_out(room, start, messages * count as u64).await
    }

    async fn fan_out_closed(&self) -> Result<Report> {
        let count = self.connections(1000)?;
        let mut room = self.room(count).await?;
        let start = self.start()?;
        let messages = room.send_windows(self.options.window, self.duration(), || self.message()).await?;
        self.after_fan_out(room, start, messages * count as u64).await
    }

    async fn after_fan_out(&self, mut room: Room, start: Start, deliveries: u64) -> Result<Report> {
        room.all_heard(deliveries).await?;
        Ok(Report { latency_us: Some(room.latency()), ..self.report(deliveries, start)? })
    }

    async fn echo(&self) -> Result<Report> {
        let peers = self.open(self.connections(1000)?).await?;
        let request = self.options.protocol.request("/ping", "{}");
        let start = self.start()?;
        let until = start.since + self.duration();
        let mut running = JoinSet::new();
        for mut peer in peers {
            let request = request.clone();
            running.spawn_local(async move {
                let mut latencies = Vec::new();
                while now() < until {
                    let asked = now();
                    peer.ask(&request).await?;
                    latencies.push(asked.elapsed().as_micros() as u64);
                }
                anyhow::Ok(latencies)
            });
        }
        let mut latency = histogram()?;
        while let Some(latencies) = running.join_next().await {
            latencies??.into_iter().for_each(|one| latency.saturating_record(one));
        }
        Ok(Report { latency_us: Some(Latency::of(&latency)), ..self.report(latency.len(), start)? })
    }

    async fn idle(&self) -> Result<Report> {
        let count = self.connections(10_000)?;
        let since = now();
        // The first connections make what every server makes once.
        let warm = self.open(100).await?;
        let before = self.server.resident_bytes()?;
        let peers = self.open(count).await?;
        let mut bytes = self.server.resident_bytes()?;
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let later = self.server.resident_bytes()?;
            if later.abs_diff(bytes) < 64 * 1024 {
                break;
            }
            bytes = later;
        }
        drop((warm, peers));
        let bytes_each = Some(bytes.saturating_sub(before) as f64 / count as f64);
        Ok(Report {
            count: count as u64,
            seconds: since.elapsed().as_secs_f64(),
            bytes_each,
            ..Report::default()
        })
    }

    async fn churn(&self) -> Result<Report> {
        let start = self.start()?;
        let until = start.since + self.duration();
        let mut running = JoinSet::new();
        for _ in 0..self.options.window {
            let (server, protocol) = (self.options.server, self.options.protocol);
            running.spawn_local(async move {
                let mut count = 0;
                while now() < until {
                    Peer::connect(server, protocol, protocol.path(), 0).await?.close().await?;
                    count += 1;
                }
                anyhow::Ok(count)
            });
        }
        let mut count = 0;
        while let Some(one) = running.join_next().await {
            count += one??;
        }
        self.report(count, start)
    }

    pub(crate) fn start(&self) -> Result<Start> {
        Ok(Start { since: now(), cpu: self.server.cpu()? })
    }

    /// What `count` things have cost since the start.
    pub(crate) fn report(&self, count: u64, start: Start) -> Result<Report> {
        let used = self.server.cpu()? - start.cpu;
        let cpu_us = Some(used.as_secs_f64() * 1e6 / count as f64);
        Ok(Report { count, seconds: start.since.elapsed().as_secs_f64(), cpu_us, ..Report::default() })
    }
}

/// Reads what comes, so that nothing piles up, until the connection ends.
async fn ignore_everything(mut peer: Peer) {
    while peer.hear(|_| ()).await.is_ok() {}
}
