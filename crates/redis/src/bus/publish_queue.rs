//! What waits to be published: one pipeline at a time, so that the order holds.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use metrics::{Counter, Gauge, counter, gauge};
use redis::{RedisError, RedisResult, Value};
use switchboard_backplane::PublishError;
use tokio::sync::{Notify, watch};

use super::many_users::TO_USERS;
use super::outbound::Outbound;
use crate::connection::backoff::Backoff;
use crate::connection::script;
use crate::connection::{Batch, Link, Source, ignore};
use crate::options::ANSWER_WITHIN;

/// Most publications in one pipeline.
const BATCH_MAX: usize = 512;

pub(super) struct Outgoing {
    queue: Mutex<Queue>,
    filled: Notify,
    bytes_max: usize,
    verb: &'static str,
    published: Counter,
    lost: Counter,
    state: watch::Sender<bool>,
    up: Gauge,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Outbound>,
    bytes: usize,
    up: bool,
}

impl Outgoing {
    pub(super) fn new(bytes_max: usize, verb: &'static str) -> Self {
        Outgoing {
            queue: Mutex::default(),
            filled: Notify::new(),
            bytes_max,
            verb,
            published: counter!("switchboard_bus_published_total"),
            lost: counter!("switchboard_bus_interrupted_total"),
            state: watch::Sender::new(false),
            up: gauge!("switchboard_redis_up", "part" => "publish"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("no code that holds the queue panics")
    }

    pub(super) fn is_up(&self) -> bool {
        *self.state.borrow()
    }

    /// When it can publish.
    pub(super) async fn up(&self) {
        // Fails only when the bus is gone.
        let _ = self.state.subscribe().wait_for(|up| *up).await;
    }

    fn set_up(&self, up: bool) {
        self.lock().up = up;
        self.state.send_replace(up);
        self.up.set(f64::from(u8::from(up)));
    }

    pub(super) fn push(&self, outbound: Outbound) -> Result<(), PublishError> {
        let mut queue = self.lock();
        if !queue.up {
            return Err(PublishError::Disconnected);
        }
        if queue.bytes + outbound.bytes() > self.bytes_max {
            return Err(PublishError::Full);
        }
        queue.bytes += outbound.bytes();
        queue.waiting.push_back(outbound);
        if queue.waiting.len() == 1 {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Publishes as long as somebody polls.
    pub(super) async fn send_all(&self, source: &Source) {
        let mut backoff = Backoff::default();
        loop {
            match source.connect(ignore()).await {
                Ok(connected) => {
                    backoff = Backoff::default();
                    let error = tokio::select! {
                        error = self.send_through(connected.link.clone()) => error,
                        error = connected.cut() => error,
                    };
                    self.drop_waiting();
                    tracing::warn!(%error, "publishing to other nodes has stopped");
                }
                Err(error) => tracing::debug!(%error, "no connection to publish through"),
            }
            backoff.pause().await;
        }
    }

    /// What waits when the connection ends would arrive late and out of order.
    fn drop_waiting(&self) {
        let Queue { waiting, .. } = std::mem::take(&mut *self.lock());
        self.lost.increment(waiting.len() as u64);
        self.set_up(false);
    }

    /// Sends through one connection until it fails.
    async fn send_through(&self, mut link: Link) -> RedisError {
        // A Redis that forgets it ends the connection, and with the next one is told it again.
        if let Err(error) = script::load(&mut link, &[&TO_USERS]).await {
            return error;
        }
        self.set_up(true);
        loop {
            let waiting = self.take();
            let sent = if !waiting.is_empty() {
                self.send(&link, waiting).await
            } else if tokio::time::timeout(ANSWER_WITHIN, self.filled.notified()).await.is_err() {
                link.ping().await
            } else {
                Ok(())
            };
            if let Err(error) = sent {
                return error;
            }
        }
    }

    fn take(&self) -> Vec<Outbound> {
        let mut queue = self.lock();
        let count = queue.waiting.len().min(BATCH_MAX);
        let taken: Vec<Outbound> = queue.waiting.drain(..count).collect();
        queue.bytes -= taken.iter().map(Outbound::bytes).sum::<usize>();
        taken
    }

    async fn send(&self, link: &Link, waiting: Vec<Outbound>) -> RedisResult<()> {
        let count = waiting.len() as u64;
        let mut batch = Batch::default();
        waiting.iter().for_each(|outbound| outbound.put_into(&mut batch, self.verb));
        let answers = link.run(batch).await.inspect_err(|_| self.lost.increment(count))?;
        let refused = answers.into_iter().find_map(|answer| match answer {
            Value::ServerError(error) => Some(error),
            _ => None,
        });
        match refused {
            None => {
                self.published.increment(count);
                Ok(())
            }
            Some(error) => {
                self.lost.increment(count);
                Err(error.into())
            }
        }
    }
}
