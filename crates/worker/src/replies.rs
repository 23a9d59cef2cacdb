//! Replies on their way to Redis, bounded, each sent at most once.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use metrics::{Counter, counter};
use switchboard_backplane::ReplyAddress;
use switchboard_event::Payload;

/// Maximum number of queued replies. At the bound the oldest is dropped: its client has waited the longest.
const REPLIES_MAX: usize = 4096;

type Reply = (ReplyAddress, Payload);

/// The replies that wait to be sent. Those left when the queue is dropped count as lost.
pub(crate) struct ReplyQueue {
    queue: Mutex<VecDeque<Reply>>,
    lost: Counter,
}

impl ReplyQueue {
    pub(crate) fn new() -> Self {
        ReplyQueue { queue: Mutex::default(), lost: counter!("switchboard_worker_replies_lost_total") }
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Reply>> {
        self.queue.lock().expect("no code that holds the replies panics")
    }

    pub(crate) fn push(&self, to: ReplyAddress, data: Payload) {
        let mut queue = self.queue();
        if queue.len() >= REPLIES_MAX {
            queue.pop_front();
            self.lost.increment(1);
        }
        queue.push_back((to, data));
    }

    /// Empties the queue and sends its replies with `send`.
    ///
    /// A failed or cancelled send is not repeated, and its replies count as lost: some of them may have
    /// arrived, and the clients may have given up by the time Redis can be reached again.
    pub(crate) async fn send<E>(&self, send: impl AsyncFnOnce(Vec<Reply>) -> Result<(), E>) -> Result<(), E> {
        let replies = std::mem::take(&mut *self.queue());
        if replies.is_empty() {
            return Ok(());
        }
        let sending = Sending { count: replies.len(), lost: &self.lost };
        send(replies.into()).await?;
        sending.succeed();
        Ok(())
    }
}

impl Drop for ReplyQueue {
    fn drop(&mut self) {
        let left = self.queue().len();
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
