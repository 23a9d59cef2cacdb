//! The scenarios.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet, spawn_local};
use tokio::time::MissedTickBehavior;

use crate::peer::{Peer, masked};
use crate::process::{Process, open_files_max};
use crate::report::{Latency, Report};
use crate::walk::Walk;
use crate::{Options, Scenario};

/// The room that is measured.
const ROOM: &str = "bench";

/// How many connections are opened at the same time.
const OPENING_MAX: usize = 100;

/// How long deliveries may lag behind their sends before the run counts as failed.
const PATIENCE: Duration = Duration::from_secs(30);

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

struct Bench {
    options: Options,
    server: Process,
}

/// Receivers that count for themselves.
struct Receivers {
    heard: Rc<Cell<u64>>,
    /// One permit for each message that the probe, the last to join, has heard.
    probe: Rc<Semaphore>,
    latency: Rc<RefCell<Histogram<u64>>>,
}

impl Bench {
    fn connections(&self, default: usize) -> Result<usize> {
        let count = self.options.connections.unwrap_or(default);
        let files = open_files_max();
        ensure!(
            count + 100 < files,
            "{count} connections need more open files than the {files} allowed: ulimit -n"
        );
        Ok(count)
    }

    fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.options.seconds)
    }

    async fn open(&self, count: usize) -> Result<Vec<Peer>> {
        let gate = Arc::new(Semaphore::new(OPENING_MAX));
        let mut opening = JoinSet::new();
        for number in 0..count {
            let (gate, server, protocol) = (gate.clone(), self.options.server, self.options.protocol);
            opening.spawn_local(async move {
                let _place = gate.acquire_owned().await?;
                Peer::connect(server, protocol, number).await
            });
        }
        let mut peers = Vec::with_capacity(count);
        while let Some(peer) = opening.join_next().await {
            peers.push(peer??);
        }
        Ok(peers)
    }

    /// Opens receivers in the room and a sender; the receivers count from now on.
    async fn room(&self, receivers: usize) -> Result<(Peer, Receivers)> {
        self.other_rooms().await?;
        for peer in self.open(self.options.outside).await? {
            spawn_local(ignore_everything(peer));
        }
        let peers = self.open(receivers).await?;
        let all = Receivers {
            heard: Rc::default(),
            probe: Rc::new(Semaphore::new(0)),
            latency: Rc::new(RefCell::new(histogram()?)),
        };
        for (number, mut peer) in peers.into_iter().enumerate() {
            peer.join(ROOM).await?;
            let (heard, is_probe) = (all.heard.clone(), number + 1 == receivers);
            let (probe, latency) = (all.probe.clone(), all.latency.clone());
            spawn_local(async move {
                let mut buffer = vec![0; 64 * 1024];
                while let Ok(here) = peer.hear(&mut buffer).await {
                    heard.set(heard.get() + here.frames as u64);
                    if is_probe {
                        probe.add_permits(here.frames);
                        if let Some(age) = age_of(&here.last) {
                            latency.borrow_mut().saturating_record(age);
                        }
                    }
                }
            });
        }
        let mut sender = self.open(1).await?.pop().context("one was asked for")?;
        sender.join(ROOM).await?;
        Ok((sender, all))
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
    fn message(&self) -> String {
        let head = format!(r#"{{"room":"{ROOM}","t":{},"pad":""#, micros());
        let pad = self.options.bytes.saturating_sub(head.len() + 2);
        let data = format!(r#"{head}{}"}}"#, "x".repeat(pad));
        self.options.protocol.event("/message", &data)
    }

    /// Waits until everything sent was heard by everybody.
    async fn all_heard(&self, receivers: &Receivers, expected: u64) -> Result<()> {
        let since = now();
        while receivers.heard.get() < expected {
            if now() - since > PATIENCE {
                bail!("{} of {expected} deliveries are missing", expected - receivers.heard.get());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    async fn fan_out(&self) -> Result<Report> {
        let count = self.connections(1000)?;
        let (mut sender, receivers) = self.room(count).await?;
        let messages = (self.options.seconds * self.options.rate) as u64;
        let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / self.options.rate));
        // A tick that comes late must not be followed by a burst: that would be another load.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (cpu, since) = (self.server.cpu()?, now());
        for _ in 0..messages {
            ticks.tick().await;
            sender.send(&self.message()).await?;
        }
        let expected = messages * count as u64;
        self.all_heard(&receivers, expected).await?;
        let latency = Latency::of(&receivers.latency.borrow());
        self.report(expected, since, cpu, Some(latency))
    }

    async fn fan_out_closed(&self) -> Result<Report> {
        let count = self.connections(1000)?;
        let (mut sender, receivers) = self.room(count).await?;
        let mut messages = 0;
        let (cpu, since) = (self.server.cpu()?, now());
        receivers.probe.add_permits(self.options.window);
        while now() - since < self.duration() {
            receivers.probe.acquire().await?.forget();
            sender.send(&self.message()).await?;
            messages += 1;
        }
        let expected = messages * count as u64;
        self.all_heard(&receivers, expected).await?;
        let latency = Latency::of(&receivers.latency.borrow());
        self.report(expected, since, cpu, Some(latency))
    }

    async fn echo(&self) -> Result<Report> {
        let peers = self.open(self.connections(1000)?).await?;
        let request = self.options.protocol.request("/ping", "{}");
        let (cpu, since) = (self.server.cpu()?, now());
        let until = since + self.duration();
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
        self.report(latency.len(), since, cpu, Some(Latency::of(&latency)))
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
        let (cpu, since) = (self.server.cpu()?, now());
        let until = since + self.duration();
        let mut running = JoinSet::new();
        for _ in 0..self.options.window {
            let (server, protocol) = (self.options.server, self.options.protocol);
            running.spawn_local(async move {
                let mut count = 0;
                while now() < until {
                    Peer::connect(server, protocol, 0).await?.close().await?;
                    count += 1;
                }
                anyhow::Ok(count)
            });
        }
        let mut count = 0;
        while let Some(one) = running.join_next().await {
            count += one??;
        }
        self.report(count, since, cpu, None)
    }

    /// The bystander is a thread of its own: it must not wait for the generator's other work.
    async fn fairness(&self) -> Result<Report> {
        let count = self.connections(10_000)?;
        let (mut sender, receivers) = self.room(count).await?;
        let stop = Arc::new(AtomicBool::new(false));
        let bystander = {
            let (server, stop) = (self.options.server, stop.clone());
            let request = masked(0x81, self.options.protocol.request("/ping", "{}").as_bytes());
            std::thread::spawn(move || ask_until(server, &request, &stop))
        };
        let (cpu, since) = (self.server.cpu()?, now());
        let mut messages = 0;
        receivers.probe.add_permits(1);
        while now() - since < self.duration() {
            receivers.probe.acquire().await?.forget();
            sender.send(&self.message()).await?;
            messages += 1;
        }
        self.all_heard(&receivers, messages * count as u64).await?;
        stop.store(true, Ordering::Relaxed);
        let latency = bystander.join().map_err(|_| anyhow::anyhow!("the bystander panicked"))??;
        self.report(messages * count as u64, since, cpu, Some(Latency::of(&latency)))
    }

    fn report(
        &self,
        count: u64,
        since: Instant,
        cpu: Duration,
        latency_us: Option<Latency>,
    ) -> Result<Report> {
        let used = self.server.cpu()? - cpu;
        Ok(Report {
            count,
            seconds: since.elapsed().as_secs_f64(),
            cpu_us: Some(used.as_secs_f64() * 1e6 / count as f64),
            latency_us,
            bytes_each: None,
        })
    }
}

/// Reads what comes, so that nothing piles up, until the connection ends.
async fn ignore_everything(mut peer: Peer) {
    let mut buffer = vec![0; 4096];
    while peer.hear(&mut buffer).await.is_ok() {}
}

/// Asks again and again, with a pause that makes it a light load.
fn ask_until(server: SocketAddr, request: &[u8], stop: &AtomicBool) -> Result<Histogram<u64>> {
    // The generator's core is busy reading; without a higher priority the wait for it would count
    // as the server's. Those who may not raise it measure both.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), -20);
    let mut stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.write_all(
        b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
          Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )?;
    let mut buffer = [0; 4096];
    let mut answer = Vec::new();
    while memchr::memmem::find(&answer, b"\r\n\r\n").is_none() {
        let len = stream.read(&mut buffer)?;
        ensure!(len > 0, "the server closed during the handshake");
        answer.extend_from_slice(&buffer[..len]);
    }
    let (mut walk, mut latency) = (Walk::default(), histogram()?);
    while !stop.load(Ordering::Relaxed) {
        let asked = now();
        stream.write_all(request)?;
        let mut answered = 0;
        while answered == 0 {
            let len = stream.read(&mut buffer)?;
            ensure!(len > 0, "the server closed the bystander");
            answered = walk.feed(&buffer[..len], |_| ());
        }
        latency.saturating_record(asked.elapsed().as_micros() as u64);
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(latency)
}

/// Latencies from 1 µs to a minute, to three digits.
fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 60_000_000, 3)?)
}

/// How old a message is, in microseconds, by the time in it.
fn age_of(payload: &[u8]) -> Option<u64> {
    let start = memchr::memmem::find(payload, b"\"t\":")? + 4;
    let digits: String =
        payload[start..].iter().map_while(|byte| byte.is_ascii_digit().then_some(*byte as char)).collect();
    micros().checked_sub(digits.parse().ok()?)
}

fn micros() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_micros() as u64
}

#[expect(clippy::disallowed_methods, reason = "measuring time is what this crate does")]
fn now() -> Instant {
    Instant::now()
}
