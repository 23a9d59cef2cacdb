//! Replies on their way to Redis, bounded in bytes, each sent at most once.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use metrics::{Counter, Gauge, counter, gauge};
use switchboard_backplane::ReplyAddress;
use switchboard_event::Payload;

/// Maximum size of the queued replies, in bytes. At the bound the oldest are dropped: their clients have waited the longest.
const REPLIES_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Approximate overhead of a reply in bytes.
const OVERHEAD: usize = 256;

type Reply = (ReplyAddress, Payload);

fn bytes_of((_, data): &Reply) -> usize {
    OVERHEAD + data.as_bytes().len()
}

/// The replies that wait to be sent. Those left when the queue is dropped count as lost.
pub(crate) struct ReplyQueue {
    queue: Mutex<Queue>,
    bytes_max: usize,
    queued_bytes: Gauge,
    lost: Counter,
}

#[derive(Default)]
struct Queue {
    queued: VecDeque<Reply>,
    bytes: usize,
}

impl ReplyQueue {
    pub(crate) fn new() -> Self {
        ReplyQueue::with_bound(REPLIES_BYTES_MAX)
    }

    fn with_bound(bytes_max: usize) -> Self {
        ReplyQueue {
            queue: Mutex::default(),
            bytes_max,
            queued_bytes: gauge!("switchboard_worker_reply_queue_bytes"),
            lost: counter!("switchboard_worker_replies_lost_total"),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("no code that holds the replies panics")
    }

    pub(crate) fn push(&self, to: ReplyAddress, data: Payload) {
        let reply = (to, data);
        let mut queue = self.queue();
        queue.bytes += bytes_of(&reply);
        queue.queued.push_back(reply);
        while queue.bytes > self.bytes_max
            && queue.queued.len() > 1
            && let Some(oldest) = queue.queued.pop_front()
        {
            queue.bytes -= bytes_of(&oldest);
            self.lost.increment(1);
        }
        self.queued_bytes.set(queue.bytes as f64);
    }

    fn take(&self) -> Vec<Reply> {
        let Queue { queued, .. } = std::mem::take(&mut *self.queue());
        self.queued_bytes.set(0.0);
        queued.into()
    }

    /// Empties the queue and sends its replies with `send`.
    ///
    /// A failed or cancelled send is not repeated, and its replies count as lost: some of them may have
    /// arrived, and the clients may have given up by the time Redis can be reached again.
    pub(crate) async fn send<E>(&self, send: impl AsyncFnOnce(Vec<Reply>) -> Result<(), E>) -> Result<(), E> {
        let replies = self.take();
        if replies.is_empty() {
            return Ok(());
        }
        let sending = Sending { count: replies.len(), lost: &self.lost };
        send(replies).await?;
        sending.succeed();
        Ok(())
    }
}

impl Drop for ReplyQueue {
    fn drop(&mut self) {
        let left = self.queue().queued.len();
        self.lost.increment(left as u64);
    }
}

/// Counts replies as lost unless their send succeeds.
struct Sending<'a> {
    count: usize,
    lost: &'a Counter,
}

impl Sending<'_> {
    fn succeed(mut self) {
        self.count = 0;
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.lost.increment(self.count as u64);
    }
}

#[cfg(test)]
mod tests {
    use switchboard_event::SocketId;

    use super::*;

    #[test]
    fn the_oldest_replies_are_dropped_at_the_bound_in_bytes() {
        let queue = ReplyQueue::with_bound(2 * OVERHEAD + 100);
        let push = |text: String| {
            let project = "p".try_into().expect("short");
            queue.push(
                ReplyAddress { project, call: SocketId::random() },
                Payload::of(&text).expect("text is JSON"),
            );
        };
        let lens = |queue: &ReplyQueue| -> Vec<usize> {
            queue.take().iter().map(|(_, data)| data.as_bytes().len()).collect()
        };
        [10, 20, 40].into_iter().for_each(|len| push("x".repeat(len)));
        assert_eq!(lens(&queue), [22, 42]);
        [10, 200].into_iter().for_each(|len| push("x".repeat(len)));
        assert_eq!(lens(&queue), [202], "a reply over the bound is sent alone");
        push("x".into());
        let bytes = queue.queue().bytes;
        assert_eq!((bytes, lens(&queue)), (OVERHEAD + 3, vec![3]), "the queue was emptied before");
    }
}
