//! Receivers, and those who send to them.

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
use crate::peer::{Heard, Peer};
use crate::report::{Latency, histogram};
use crate::text::Text;
use crate::wait::{PATIENCE, quiet, unless_broken};

/// Everyone in it is read by a task of its own, those who send too.
pub(crate) struct Room {
    /// To each one who sends.
    texts: Vec<mpsc::Sender<String>>,
    ears: Ears,
    broken: mpsc::Receiver<Error>,
}

/// What everyone in a room has heard together.
#[derive(Clone)]
pub(crate) struct Ears(Rc<Inner>);

struct Inner {
    messages: Cell<u64>,
    bytes: Cell<u64>,
    /// One permit for each message that the probe, the last receiver, has heard.
    probe: Semaphore,
    /// How old messages were when the probe heard them.
    latency: RefCell<Histogram<u64>>,
    /// What the probe has heard last.
    last: RefCell<Text>,
}

impl Room {
    /// Begins to listen. The last receiver is the probe.
    pub(crate) fn new(senders: Vec<Peer>, receivers: Vec<Peer>) -> Result<Self> {
        let latency = RefCell::new(histogram()?);
        let (messages, bytes, probe) = (Cell::default(), Cell::default(), Semaphore::new(0));
        let inner = Inner { messages, bytes, probe, latency, last: RefCell::default() };
        let ears = Ears(Rc::new(inner));
        let (fault, broken) = mpsc::channel(1);
        let probe = receivers.len().saturating_sub(1);
        for (number, peer) in receivers.into_iter().enumerate() {
            let (ears, fault) = (ears.clone(), fault.clone());
            spawn_local(async move {
                let Err(error) = ears.receive(peer, number == probe).await;
                // The first fault is the one that is told.
                let _ = fault.try_send(error.context("a receiver is gone"));
            });
        }
        let mut texts = Vec::with_capacity(senders.len());
        for peer in senders {
            let (to_peer, to_send) = mpsc::channel(1);
            texts.push(to_peer);
            let (ears, fault) = (ears.clone(), fault.clone());
            spawn_local(async move {
                let Err(error) = ears.receive_and_send(peer, to_send).await;
                let _ = fault.try_send(error.context("a sender is gone"));
            });
        }
        Ok(Room { texts, ears, broken })
    }

    /// One more who sends: texts are lines that another process is told.
    pub(crate) fn send_by(&mut self, mut process: ChildStdin) {
        let (to_process, mut to_send) = mpsc::channel::<String>(1);
        self.texts.push(to_process);
        spawn_local(async move {
            while let Some(text) = to_send.recv().await {
                // Whoever sends the next text learns that nobody takes it.
                if process.write_all(format!("{text}\n").as_bytes()).await.is_err() {
                    break;
                }
            }
        });
    }

    /// Sends so many texts, so many a second. Those who send take turns.
    pub(crate) async fn send_at_rate(
        &mut self,
        messages: u64,
        per_s: f64,
        text: impl Fn(u64) -> String,
    ) -> Result<()> {
        let Room { texts, broken, .. } = self;
        let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / per_s));
        // A tick that comes late must not be followed by a burst: that would be another load.
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

    /// Keeps `window` texts under way for a time. Returns how many it sent.
    pub(crate) async fn send_windows(
        &mut self,
        window: usize,
        duration: Duration,
        text: impl Fn() -> String,
    ) -> Result<u64> {
        let Room { texts, broken, ears } = self;
        ears.0.probe.add_permits(window);
        let sending = async {
            let (mut messages, since) = (0, now());
            while now() - since < duration {
                ears.0.probe.acquire().await?.forget();
                texts[messages as usize % texts.len()].send(text()).await?;
                messages += 1;
            }
            Ok(messages)
        };
        let done = timeout(duration + PATIENCE, unless_broken(broken, sending)).await;
        done.context("a message that was sent is not delivered")?
    }

    /// Waits until `expected` messages were heard, each counted as often as it was.
    pub(crate) async fn all_heard(&mut self, expected: u64) -> Result<()> {
        let Room { broken, ears, .. } = self;
        let all = async {
            while ears.0.messages.get() < expected {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Ok(())
        };
        match timeout(PATIENCE, unless_broken(broken, all)).await {
            Ok(outcome) => outcome,
            Err(_) => bail!("{} of {expected} deliveries are missing", expected - ears.0.messages.get()),
        }
    }

    /// Fails if more was heard.
    pub(crate) fn all_heard_exactly(&self, expected: u64) -> Result<()> {
        let heard = self.ears.0.messages.get();
        ensure!(heard == expected, "{heard} deliveries were heard, and {expected} sent");
        Ok(())
    }

    /// Waits until nothing is heard any more, as when everybody knows who is there, and forgets what
    /// was heard.
    pub(crate) async fn settle(&mut self) -> Result<()> {
        self.quiet().await?;
        let Inner { messages, bytes, probe, latency, .. } = &*self.ears.0;
        messages.set(0);
        bytes.set(0);
        probe.forget_permits(usize::MAX);
        latency.borrow_mut().reset();
        Ok(())
    }

    /// Waits until nothing is heard any more. Returns how many bytes of messages were.
    pub(crate) async fn quiet(&mut self) -> Result<u64> {
        let Room { broken, ears, .. } = self;
        unless_broken(broken, quiet(|| ears.0.bytes.get())).await?;
        Ok(ears.0.bytes.get())
    }

    /// Whether the last message that the probe heard has a text in it.
    pub(crate) fn last_has(&self, text: &str) -> bool {
        memchr::memmem::find(self.ears.0.last.borrow().bytes(), text.as_bytes()).is_some()
    }

    /// How long messages were under way.
    pub(crate) fn latency(&self) -> Latency {
        Latency::of(&self.ears.0.latency.borrow())
    }
}

impl Ears {
    fn count(&self, heard: Heard) {
        self.0.messages.set(self.0.messages.get() + heard.messages as u64);
        self.0.bytes.set(self.0.bytes.get() + heard.bytes as u64);
    }

    async fn receive(&self, mut peer: Peer, is_probe: bool) -> Result<Infallible> {
        if is_probe {
            return self.probe(peer).await;
        }
        loop {
            self.count(peer.hear(|_| ()).await?);
        }
    }

    async fn probe(&self, mut peer: Peer) -> Result<Infallible> {
        loop {
            let mut age = None;
            let heard =
                peer.hear(|part| age = self.0.last.borrow_mut().take(part).and_then(age_of).or(age)).await?;
            self.count(heard);
            self.0.probe.add_permits(heard.messages);
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
                text = texts.recv() => peer.send(&text.context("the room is no more")?).await?,
                heard = peer.hear(|_| ()) => self.count(heard?),
            }
        }
    }
}

/// How old a message is, in microseconds, by the time in it.
fn age_of(message: &[u8]) -> Option<u64> {
    let head = &message[..message.len().min(96)];
    let start = memchr::memmem::find(head, b"\"t\":")? + 4;
    let digits: String =
        head[start..].iter().map_while(|byte| byte.is_ascii_digit().then_some(*byte as char)).collect();
    micros().checked_sub(digits.parse().ok()?)
}
