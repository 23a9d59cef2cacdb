//! The queue of publications: one pipeline at a time, so that they keep their order.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard};

use metrics::{Counter, counter};
use redis::{RedisResult, Value};
use switchboard_backplane::PublishError;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::many_users::PUBLISH_TO_USERS;
use super::outbound::Outbound;
use crate::connection::{Batch, RedisConnection, Session, Up, script};
use crate::options::REPLY_TIMEOUT;

/// Maximum number of publications in one pipeline.
const BATCH_MAX: usize = 512;

/// Publications that are queued for Redis, bounded in bytes.
pub(super) struct PublishQueue {
    queue: Mutex<Queue>,
    filled: Notify,
    bytes_max: usize,
    verb: &'static str,
    published: Counter,
    lost: Counter,
    is_up: watch::Sender<bool>,
}

#[derive(Default)]
struct Queue {
    queued: VecDeque<Outbound>,
    bytes: usize,
    is_up: bool,
}

impl PublishQueue {
    pub(super) fn new(bytes_max: usize, verb: &'static str) -> Self {
        PublishQueue {
            queue: Mutex::default(),
            filled: Notify::new(),
            bytes_max,
            verb,
            published: counter!("switchboard_bus_published_total"),
            lost: counter!("switchboard_bus_interrupted_total"),
            is_up: watch::Sender::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("no code that holds the queue panics")
    }

    pub(super) fn is_up(&self) -> bool {
        *self.is_up.borrow()
    }

    /// Completes once publications are accepted.
    pub(super) async fn wait_until_up(&self) {
        // Fails only when the queue is gone.
        let _ = self.is_up.subscribe().wait_for(|is_up| *is_up).await;
    }

    fn set_up(&self, is_up: bool) {
        self.lock().is_up = is_up;
        self.is_up.send_replace(is_up);
    }

    /// Fails without a connection, and at the bound.
    pub(super) fn push(&self, outbound: Outbound) -> Result<(), PublishError> {
        let mut queue = self.lock();
        if !queue.is_up {
            return Err(PublishError::Disconnected);
        }
        if queue.bytes + outbound.bytes() > self.bytes_max {
            return Err(PublishError::Full);
        }
        queue.bytes += outbound.bytes();
        queue.queued.push_back(outbound);
        if queue.queued.len() == 1 {
            self.filled.notify_one();
        }
        Ok(())
    }

    fn take(&self) -> Vec<Outbound> {
        let mut queue = self.lock();
        let count = queue.queued.len().min(BATCH_MAX);
        let taken: Vec<Outbound> = queue.queued.drain(..count).collect();
        queue.bytes -= taken.iter().map(Outbound::bytes).sum::<usize>();
        taken
    }

    /// Drops the queue: after a reconnect its publications would be late and out of order.
    fn clear(&self) {
        let Queue { queued, .. } = std::mem::take(&mut *self.lock());
        self.lost.increment(queued.len() as u64);
        self.set_up(false);
    }

    async fn publish(&self, connection: &RedisConnection, taken: Vec<Outbound>) -> RedisResult<()> {
        let count = taken.len() as u64;
        let mut batch = Batch::default();
        taken.iter().for_each(|outbound| outbound.append_to(&mut batch, self.verb));
        let replies = connection.run(batch).await.inspect_err(|_| self.lost.increment(count))?;
        let refused = replies.into_iter().find_map(|reply| match reply {
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

/// Publishes the queue over one connection.
pub(super) struct PublishSession {
    queue: Arc<PublishQueue>,
}

impl PublishSession {
    pub(super) fn new(queue: Arc<PublishQueue>) -> Self {
        PublishSession { queue }
    }
}

impl Session for PublishSession {
    const CONNECTION: &'static str = "publisher";
    const LOST: &'static str =
        "publisher disconnected from Redis; messages to other nodes are lost until it reconnects";

    async fn serve(&mut self, mut connection: RedisConnection, up: &mut Up) -> RedisResult<()> {
        // If a server forgets the script, publishing fails and the next connection loads it again.
        script::load(&mut connection, &*PUBLISH_TO_USERS).await?;
        self.queue.set_up(true);
        up.set();
        loop {
            let taken = self.queue.take();
            if !taken.is_empty() {
                self.queue.publish(&connection, taken).await?;
            } else if timeout(REPLY_TIMEOUT, self.queue.filled.notified()).await.is_err() {
                connection.ping().await?;
            }
        }
    }

    fn disconnected(&mut self) -> ControlFlow<()> {
        self.queue.clear();
        ControlFlow::Continue(())
    }
}
