//! The scenarios.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet, spawn_local};

use crate::clock::{micros, now};
use crate::cost::{Meters, Start};
use crate::options::{Options, Scenario};
use crate::peer::Peer;
use crate::process::open_files_max;
use crate::report::{Latency, Report, histogram};
use crate::room::Room;

/// The room that is measured.
pub(crate) const ROOM: &str = "bench";

/// Maximum number of handshakes at the same time.
const OPENING_MAX: usize = 100;

pub(crate) async fn run(options: &Options, meters: Meters) -> Result<Report> {
    let bench = Bench { options: options.clone(), meters };
    LocalSet::new()
        .run_until(async {
            match options.scenario {
                Scenario::FanOut => bench.fan_out().await,
                Scenario::FanOutClosed => bench.fan_out_closed().await,
                Scenario::Echo => bench.echo().await,
                Scenario::Idle => bench.idle().await,
                Scenario::Churn => bench.churn().await,
                Scenario::Fairness => bench.fairness().await,
                Scenario::Joins => bench.joins().await,
                Scenario::MemberLists => bench.member_lists().await,
                Scenario::Rooms => bench.rooms().await,
                Scenario::StepCosts => bench.step_costs().await,
                Scenario::Dispatch => bench.dispatch().await,
                Scenario::RedisAlone => unreachable!("it has no server"),
            }
        })
        .await
}

/// A scenario's options and the meters of its servers.
pub(crate) struct Bench {
    pub(crate) options: Options,
    pub(crate) meters: Meters,
}

impl Bench {
    pub(crate) fn start(&self) -> Result<Start> {
        self.meters.start()
    }

    /// The cost of `count` units of work since the start.
    pub(crate) fn report(&self, count: u64, start: Start) -> Result<Report> {
        self.meters.report(count, count, start)
    }

    /// The cost of `count` deliveries of `messages` messages since the start.
    pub(crate) fn report_of_messages(&self, messages: u64, count: u64, start: Start) -> Result<Report> {
        self.meters.report(messages, count, start)
    }

    pub(crate) fn connections(&self, default: usize) -> Result<usize> {
        let count = self.options.connections.unwrap_or(default);
        let files = open_files_max();
        ensure!(
            count + 100 < files,
            "{count} connections need more open files than the {files} allowed: ulimit -n"
        );
        Ok(count)
    }

    /// Messages per second, and their number over the whole measurement.
    pub(crate) fn rate(&self, default: f64) -> (f64, u64) {
        let rate = self.options.rate.unwrap_or(default);
        (rate, (self.options.seconds * rate) as u64)
    }

    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.options.seconds)
    }

    /// The server of connection `number`.
    pub(crate) fn server(&self, number: usize) -> SocketAddr {
        self.options.server[number % self.options.server.len()]
    }

    async fn open(&self, count: usize) -> Result<Vec<Peer>> {
        self.open_at(&self.options.protocol.path(None), count, |number| self.server(number)).await
    }

    pub(crate) async fn open_at(
        &self,
        path: &str,
        count: usize,
        server: impl Fn(usize) -> SocketAddr,
    ) -> Result<Vec<Peer>> {
        let protocol = self.options.protocol;
        all_at_once(count, |number| {
            let (server, path) = (server(number), path.to_owned());
            async move { Peer::connect(server, protocol, &path, number).await }
        })
        .await
    }

    /// Fills the measured room with `members` connections and a sender. If a sender receives its own messages, it is
    /// one of the members.
    pub(crate) async fn room(&self, members: usize) -> Result<Room> {
        self.other_rooms().await?;
        for peer in self.open(self.options.outside).await? {
            spawn_local(ignore_everything(peer));
        }
        self.room_at(&self.options.protocol.path(Some(ROOM)), members).await
    }

    /// The room of connections with this path.
    pub(crate) async fn room_at(&self, path: &str, members: usize) -> Result<Room> {
        let receivers = members.saturating_sub(self.options.protocol.echoes().into());
        ensure!(receivers > 0, "a room needs more than {members} members");
        let mut peers = self.open_at(path, receivers, |number| self.server(number)).await?;
        let mut sender = self.sender(path).await?;
        for peer in peers.iter_mut().chain([&mut sender]) {
            peer.join(ROOM).await?;
        }
        let mut room = Room::new(vec![sender], peers)?;
        room.settle().await?;
        Ok(room)
    }

    /// The sender, and an idle connection at the other node.
    async fn sender(&self, path: &str) -> Result<Peer> {
        let home = self.server(0);
        let other = self.options.other.unwrap_or(home);
        let (home, other) = if self.options.from_other { (other, home) } else { (home, other) };
        let sender = self.open_at(path, 1, |_| home).await?.pop().context("one connection was opened")?;
        for peer in self.open_at(&self.options.protocol.path(None), 1, |_| other).await? {
            spawn_local(ignore_everything(peer));
        }
        Ok(sender)
    }

    /// Opens the other rooms, 500 per connection.
    async fn other_rooms(&self) -> Result<()> {
        const EACH: usize = 500;
        let rooms = self.options.rooms;
        let has_rooms = self.options.protocol.has_rooms();
        ensure!(rooms == 0 || has_rooms, "a client of this protocol joins one room only");
        for (number, mut peer) in self.open(rooms.div_ceil(EACH)).await?.into_iter().enumerate() {
            for room in number * EACH..rooms.min((number + 1) * EACH) {
                peer.join(&format!("other-{room}")).await?;
            }
            spawn_local(ignore_everything(peer));
        }
        Ok(())
    }

    pub(crate) fn message(&self) -> String {
        self.message_to(ROOM)
    }

    pub(crate) fn message_to(&self, room: &str) -> String {
        self.options.protocol.message(room, &self.data(room))
    }

    /// The data of a message: `bytes` long, with the current time.
    pub(crate) fn data(&self, room: &str) -> String {
        let head = format!(r#"{{"room":"{room}","t":{},"pad":""#, micros());
        let pad = self.options.bytes.saturating_sub(head.len() + 2);
        format!(r#"{head}{}"}}"#, "x".repeat(pad))
    }

    async fn fan_out(&self) -> Result<Report> {
        let count = self.connections(1000)?;
        let mut room = self.room(count).await?;
        let (rate, messages) = self.rate(30.0);
        let start = self.start()?;
        room.send_at_rate(messages, rate, |_| self.message()).await?;
        self.after_fan_out(room, start, messages, count).await
    }

    async fn fan_out_closed(&self) -> Result<Report> {
        let count = self.connections(1000)?;
        let mut room = self.room(count).await?;
        let start = self.start()?;
        let messages = room.send_windows(self.options.window, self.duration(), || self.message()).await?;
        self.after_fan_out(room, start, messages, count).await
    }

    async fn after_fan_out(
        &self,
        mut room: Room,
        start: Start,
        messages: u64,
        receivers: usize,
    ) -> Result<Report> {
        let deliveries = messages * receivers as u64;
        room.all_received(deliveries).await?;
        let report = self.report_of_messages(messages, deliveries, start)?;
        Ok(Report { latency_us: Some(room.latency()), ..report })
    }

    async fn echo(&self) -> Result<Report> {
        let request = self.options.protocol.request("/ping", "{}")?;
        let peers = self.open(self.connections(1000)?).await?;
        let start = self.start()?;
        let until = start.since + self.duration();
        let mut running = JoinSet::new();
        for mut peer in peers {
            let request = request.clone();
            running.spawn_local(async move {
                let mut latencies = Vec::new();
                while now() < until {
                    let sent = now();
                    peer.request(&request).await?;
                    latencies.push(sent.elapsed().as_micros() as u64);
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
        // The first connections trigger the server's one-time allocations.
        let warm = self.open(100).await?;
        let before = self.meters.resident_bytes()?;
        let peers = self.open(count).await?;
        let mut bytes = self.meters.resident_bytes()?;
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let later = self.meters.resident_bytes()?;
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
            let (server, protocol) = (self.server(0), self.options.protocol);
            let path = protocol.path(None);
            running.spawn_local(async move {
                let mut count = 0;
                while now() < until {
                    Peer::connect(server, protocol, &path, 0).await?.close().await?;
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
}

/// Opens `count` connections as fast as possible.
pub(crate) async fn all_at_once<T: 'static, F: Future<Output = Result<T>> + 'static>(
    count: usize,
    connect: impl Fn(usize) -> F,
) -> Result<Vec<T>> {
    let gate = Arc::new(Semaphore::new(OPENING_MAX));
    let mut opening = JoinSet::new();
    for number in 0..count {
        let (gate, connected) = (gate.clone(), connect(number));
        opening.spawn_local(async move {
            let _permit = gate.acquire_owned().await?;
            connected.await
        });
    }
    let mut all = Vec::with_capacity(count);
    while let Some(one) = opening.join_next().await {
        all.push(one??);
    }
    Ok(all)
}

/// Reads and discards messages until the connection ends.
pub(crate) async fn ignore_everything(mut peer: Peer) {
    while peer.receive(|_| ()).await.is_ok() {}
}
