//! The queue of publications: one pipeline at a time, so that they keep their order.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use redis::{RedisResult, Value};
use switchboard_backplane::{IfUnreached, OnCounted, PublishError};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use super::many_users::PUBLISH_TO_USERS;
use super::outbound::Outbound;
use crate::connection::{Batch, Losses, RedisConnection, Session, Up, script};
use crate::options::REPLY_TIMEOUT;

/// Maximum number of publications in one pipeline.
const BATCH_MAX: usize = 512;

/// Approximately how much work for Redis, and how many bytes, are in one pipeline. Redis must reply to a pipeline
/// within [`REPLY_TIMEOUT`], and it serves the other clients between two pipelines.
const BATCH_WORK_MAX: usize = 4096;
const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// Publishing stalls if a publication waits longer than this.
const STALL: Duration = Duration::from_secs(1);

/// Publications that are queued for Redis, bounded in bytes.
pub(super) struct PublishQueue {
    queue: Mutex<Queue>,
    filled: Notify,
    bytes_max: usize,
    verb: &'static str,
    meters: Meters,
    is_up: watch::Sender<bool>,
    /// Publications that were refused because the queue was full.
    refusals: Losses,
    on_unreached: OnUnreached,
}

/// Called for each publication with [`IfUnreached::Notify`] that no other node is subscribed to.
pub(super) type OnUnreached = Box<dyn Fn() + Send + Sync>;

/// A publication in the queue.
struct Queued {
    since: Instant,
    on_reply: OnReply,
    outbound: Outbound,
}

/// What is done with the number of subscribers in the reply of Redis.
enum OnReply {
    Nothing,
    /// Calls [`OnUnreached`] if there are none.
    NotifyUnreached,
    /// Passes their number on; `None` if the connection ends before the reply.
    Count(OnCounted),
}

struct Meters {
    published: Counter,
    publish_duration: Histogram,
    lost: Counter,
    queued_bytes: Gauge,
}

#[derive(Default)]
struct Queue {
    queued: VecDeque<Queued>,
    bytes: usize,
    is_up: bool,
    /// Publications of the pipeline without a reply, and when the oldest of them was queued.
    in_flight: usize,
    in_flight_since: Option<Instant>,
}

impl PublishQueue {
    pub(super) fn new(bytes_max: usize, verb: &'static str, on_unreached: OnUnreached) -> Self {
        PublishQueue {
            queue: Mutex::default(),
            filled: Notify::new(),
            bytes_max,
            verb,
            meters: Meters {
                published: counter!("switchboard_bus_published_total"),
                publish_duration: histogram!("switchboard_bus_publish_duration_seconds"),
                lost: counter!("switchboard_undelivered_total", "reason" => "bus_interrupted"),
                queued_bytes: gauge!("switchboard_queue_bytes", "queue" => "publications"),
            },
            is_up: watch::Sender::new(false),
            refusals: Losses::default(),
            on_unreached,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("no code that holds the queue panics")
    }

    pub(super) fn is_up(&self) -> bool {
        *self.is_up.borrow()
    }

    /// Returns true while publications wait for long, and for a while after some were refused.
    pub(super) fn is_stalled(&self) -> bool {
        let queue = self.lock();
        let queued_since = || queue.queued.front().map(|queued| queued.since);
        let waits = queue.in_flight_since.or_else(queued_since).is_some_and(|since| since.elapsed() > STALL);
        waits || self.refusals.is_recent()
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
    pub(super) fn push(&self, outbound: Outbound, if_unreached: IfUnreached) -> Result<(), PublishError> {
        let on_reply = match if_unreached {
            IfUnreached::Ignore => OnReply::Nothing,
            IfUnreached::Notify => OnReply::NotifyUnreached,
        };
        self.push_with(outbound, on_reply)
    }

    /// Like [`push`](Self::push), and passes on how many subscribers there are.
    pub(super) fn push_counted(&self, outbound: Outbound, on_counted: OnCounted) -> Result<(), PublishError> {
        self.push_with(outbound, OnReply::Count(on_counted))
    }

    fn push_with(&self, outbound: Outbound, on_reply: OnReply) -> Result<(), PublishError> {
        let mut queue = self.lock();
        if !queue.is_up {
            return Err(PublishError::Disconnected);
        }
        if queue.bytes + outbound.bytes() > self.bytes_max {
            self.refusals.record();
            return Err(PublishError::Full);
        }
        queue.bytes += outbound.bytes();
        self.meters.queued_bytes.set(queue.bytes as f64);
        queue.queued.push_back(Queued { since: Instant::now(), on_reply, outbound });
        if queue.queued.len() == 1 {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Takes the publications of the next pipeline.
    fn take(&self) -> Vec<Queued> {
        let mut queue = self.lock();
        let count = queue.next_batch();
        queue.in_flight = count;
        queue.in_flight_since = queue.queued.front().map(|queued| queued.since);
        let taken: Vec<Queued> = queue.queued.drain(..count).collect();
        queue.bytes -= taken.iter().map(|queued| queued.outbound.bytes()).sum::<usize>();
        self.meters.queued_bytes.set(queue.bytes as f64);
        taken
    }

    /// Drops the queue: after a reconnect its publications would be late and out of order. Those without a reply may
    /// be lost as well.
    fn clear(&self) {
        let Queue { queued, in_flight, .. } = std::mem::take(&mut *self.lock());
        let lost = queued.len() + in_flight;
        queued.into_iter().for_each(|queued| queued.on_reply.disconnected());
        self.meters.lost.increment(lost as u64);
        self.meters.queued_bytes.set(0.0);
        self.set_up(false);
    }

    async fn publish(&self, connection: &RedisConnection, taken: Vec<Queued>) -> RedisResult<()> {
        let (batch, ends) = self.batch(&taken);
        let replies = connection.run(batch).await.and_then(|replies| {
            replies.into_iter().map(Value::extract_error).collect::<RedisResult<Vec<_>>>()
        });
        let replies = match replies {
            Ok(replies) => replies,
            Err(error) => {
                taken.into_iter().for_each(|queued| queued.on_reply.disconnected());
                return Err(error);
            }
        };
        self.lock().in_flight = 0;
        self.meters.published.increment(taken.len() as u64);
        self.meters.publish_duration.record(taken[0].since.elapsed());
        for (Queued { on_reply, .. }, end) in taken.into_iter().zip(ends) {
            match on_reply {
                OnReply::Nothing => {}
                // The last reply to each publication contains the numbers of its subscribers.
                OnReply::NotifyUnreached if subscribers(&replies[end - 1]) == 0 => (self.on_unreached)(),
                OnReply::NotifyUnreached => {}
                OnReply::Count(on_counted) => {
                    on_counted(Some(usize::try_from(subscribers(&replies[end - 1])).unwrap_or_default()));
                }
            }
        }
        Ok(())
    }

    /// The commands of some publications, and for each publication the end of its replies.
    fn batch(&self, taken: &[Queued]) -> (Batch, Vec<usize>) {
        let mut batch = Batch::default();
        let mut ends = Vec::with_capacity(taken.len());
        for Queued { outbound, .. } in taken {
            outbound.append_to(&mut batch, self.verb);
            ends.push(batch.len());
        }
        (batch, ends)
    }
}

impl OnReply {
    fn disconnected(self) {
        if let OnReply::Count(on_counted) = self {
            on_counted(None);
        }
    }
}

impl Queue {
    /// How many publications the next pipeline has.
    fn next_batch(&self) -> usize {
        let (mut work, mut bytes) = (0, 0);
        let fits = |Queued { outbound, .. }: &&Queued| {
            let is_first = work == 0;
            work += outbound.work();
            bytes += outbound.command_bytes();
            is_first || (work <= BATCH_WORK_MAX && bytes <= BATCH_BYTES_MAX)
        };
        self.queued.iter().take(BATCH_MAX).take_while(fits).count()
    }
}

/// The number of subscribers in the reply to a publish command, to a transaction of them, or to the script.
fn subscribers(reply: &Value) -> i64 {
    match reply {
        Value::Array(replies) => replies.iter().filter_map(script::integer).sum(),
        reply => script::integer(reply).unwrap_or_default(),
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
