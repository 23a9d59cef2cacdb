//! A room: receivers and senders.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Error, Result, bail, ensure};
use hdrhistogram::Histogram;
use tokio::io::AsyncWriteExt;
use tokio::process::ChildStdin;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::spawn_local;
use tokio::time::{MissedTickBehavior, timeout};

use crate::clock::{micros, now};
use crate::peer::{Peer, Received};
use crate::report::{Latency, histogram};
use crate::text::Text;
use crate::wait::{PATIENCE, quiet, unless_broken};

/// A task reads each connection, senders included.
pub(crate) struct Room {
    /// One channel per sender.
    texts: Vec<mpsc::Sender<String>>,
    counters: Counters,
    broken: mpsc::Receiver<Error>,
}

/// Counters over all receivers of a room.
#[derive(Clone)]
pub(crate) struct Counters(Rc<Inner>);

struct Inner {
    messages: Cell<u64>,
    bytes: Cell<u64>,
    /// One permit per message that the probe, the last receiver, has received.
    probe: Semaphore,
    /// Age of messages at the probe.
    latency: RefCell<Histogram<u64>>,
    /// The last message of the probe.
    last: RefCell<Text>,
}

impl Room {
    /// Starts to receive. The last receiver is the probe.
    pub(crate) fn new(senders: Vec<Peer>, receivers: Vec<Peer>) -> Result<Self> {
        let latency = RefCell::new(histogram()?);
        let (messages, bytes, probe) = (Cell::default(), Cell::default(), Semaphore::new(0));
        let inner = Inner { messages, bytes, probe, latency, last: RefCell::default() };
        let counters = Counters(Rc::new(inner));
        let (fault, broken) = mpsc::channel(1);
        let probe = receivers.len().saturating_sub(1);
        for (number, peer) in receivers.into_iter().enumerate() {
            let (counters, fault) = (counters.clone(), fault.clone());
            spawn_local(async move {
                let Err(error) = counters.receive(peer, number == probe).await;
                // The first fault is reported; a full channel has one already.
                let _ = fault.try_send(error.context("a receiver failed"));
            });
        }
        let mut texts = Vec::with_capacity(senders.len());
        for peer in senders {
            let (to_peer, to_send) = mpsc::channel(1);
            texts.push(to_peer);
            let (counters, fault) = (counters.clone(), fault.clone());
            spawn_local(async move {
                let Err(error) = counters.receive_and_send(peer, to_send).await;
                let _ = fault.try_send(error.context("a sender failed"));
            });
        }
        Ok(Room { texts, counters, broken })
    }

    /// Adds a sender that writes texts as lines to another process.
    pub(crate) fn send_by(&mut self, mut process: ChildStdin) {
        let (to_process, mut to_send) = mpsc::channel::<String>(1);
        self.texts.push(to_process);
        spawn_local(async move {
            while let Some(text) = to_send.recv().await {
                // The next send fails, because the receiving end is dropped.
                if process.write_all(format!("{text}\n").as_bytes()).await.is_err() {
                    break;
                }
            }
        });
    }

    /// Sends `count` texts at a fixed rate per second. Senders take turns.
    pub(crate) async fn send_at_rate(
        &mut self,
        messages: u64,
        per_s: f64,
        text: impl Fn(u64) -> String,
    ) -> Result<()> {
        let Room { texts, broken, .. } = self;
        let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / per_s));
        // A burst after a late tick would be another load.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        unless_broken(broken, async {
            for number in 0..messages {
                ticks.tick().await;
                texts[number as usize % texts.len()].send(text(number)).await?;
            }
            Ok(())
        })
        .await
    }

    /// Keeps `window` texts in flight for a time. Returns the number sent.
    pub(crate) async fn send_windows(
        &mut self,
        window: usize,
        duration: Duration,
        text: impl Fn() -> String,
    ) -> Result<u64> {
        let Room { texts, broken, counters } = self;
        counters.0.probe.add_permits(window);
        let sending = async {
            let (mut messages, since) = (0, now());
            while now() - since < duration {
                counters.0.probe.acquire().await?.forget();
                texts[messages as usize % texts.len()].send(text()).await?;
                messages += 1;
            }
            Ok(messages)
        };
        let done = timeout(duration + PATIENCE, unless_broken(broken, sending)).await;
        done.context("a message was not delivered")?
    }

    /// Waits until all receivers together have received `expected` messages.
    pub(crate) async fn all_received(&mut self, expected: u64) -> Result<()> {
        let Room { broken, counters, .. } = self;
        let all = async {
            while counters.0.messages.get() < expected {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Ok(())
        };
        match timeout(PATIENCE, unless_broken(broken, all)).await {
            Ok(outcome) => outcome,
            Err(_) => bail!("{} of {expected} deliveries are missing", expected - counters.0.messages.get()),
        }
    }

    /// Fails if more were received.
    pub(crate) fn all_received_exactly(&self, expected: u64) -> Result<()> {
        let received = self.counters.0.messages.get();
        ensure!(received == expected, "{received} deliveries were received, but {expected} expected");
        Ok(())
    }

    /// Waits until no more messages arrive, such as member lists, and resets the
    /// counters.
    pub(crate) async fn settle(&mut self) -> Result<()> {
        self.quiet().await?;
        let Inner { messages, bytes, probe, latency, .. } = &*self.counters.0;
        messages.set(0);
        bytes.set(0);
        probe.forget_permits(usize::MAX);
        latency.borrow_mut().reset();
        Ok(())
    }

    /// Waits until no more messages arrive. Returns the bytes of messages received.
    pub(crate) async fn quiet(&mut self) -> Result<u64> {
        let Room { broken, counters, .. } = self;
        unless_broken(broken, quiet(|| counters.0.bytes.get())).await?;
        Ok(counters.0.bytes.get())
    }

    /// Whether the last message of the probe contains a text.
    pub(crate) fn last_has(&self, text: &str) -> bool {
        memchr::memmem::find(self.counters.0.last.borrow().bytes(), text.as_bytes()).is_some()
    }

    /// Latencies at the probe.
    pub(crate) fn latency(&self) -> Latency {
        Latency::of(&self.counters.0.latency.borrow())
    }
}

impl Counters {
    fn count(&self, received: Received) {
        self.0.messages.set(self.0.messages.get() + received.messages as u64);
        self.0.bytes.set(self.0.bytes.get() + received.bytes as u64);
    }

    async fn receive(&self, mut peer: Peer, is_probe: bool) -> Result<Infallible> {
        if is_probe {
            return self.probe(peer).await;
        }
        loop {
            self.count(peer.receive(|_| ()).await?);
        }
    }

    async fn probe(&self, mut peer: Peer) -> Result<Infallible> {
        loop {
            let mut age = None;
            let received = peer
                .receive(|part| age = self.0.last.borrow_mut().take(part).and_then(age_of).or(age))
                .await?;
            self.count(received);
            self.0.probe.add_permits(received.messages);
            if let Some(age) = age {
                self.0.latency.borrow_mut().saturating_record(age);
            }
        }
    }

    async fn receive_and_send(
        &self,
        mut peer: Peer,
        mut texts: mpsc::Receiver<String>,
    ) -> Result<Infallible> {
        loop {
            tokio::select! {
                text = texts.recv() => peer.send(&text.context("the room was dropped")?).await?,
                received = peer.receive(|_| ()) => self.count(received?),
            }
        }
    }
}

/// Age of a message in microseconds, by the time in its data.
fn age_of(message: &[u8]) -> Option<u64> {
    let head = &message[..message.len().min(96)];
    let start = memchr::memmem::find(head, b"\"t\":")? + 4;
    let digits: String =
        head[start..].iter().map_while(|byte| byte.is_ascii_digit().then_some(*byte as char)).collect();
    micros().checked_sub(digits.parse().ok()?)
}
