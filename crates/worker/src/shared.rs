//! The state that a worker's task shares with the application.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use metrics::{Counter, counter};
use switchboard_backplane::ReplyAddress;
use switchboard_event::Payload;
use switchboard_redis::worker::GroupClient;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::assignment::Assignment;
use crate::delivery::Delivery;
use crate::replies::ReplyQueue;

pub(crate) struct Shared {
    pub(crate) client: Arc<GroupClient>,
    assignment: Mutex<Assignment>,
    pub(crate) replies: ReplyQueue,
    /// Acknowledgements or replies are to be written to Redis.
    pub(crate) to_write: Notify,
    /// The members of the group have changed.
    pub(crate) group_changed: Arc<Notify>,
    /// A partition may have space for more reports.
    pub(crate) space_freed: Notify,
    /// A report may be ready to be handed out.
    pub(crate) ready: Notify,
    /// The first connection has claimed partitions, or was lost before.
    pub(crate) first_claim_ended: CancellationToken,
    /// The worker is to leave the group.
    pub(crate) leaving: CancellationToken,
    /// The worker's task has ended.
    pub(crate) left: CancellationToken,
    pub(crate) leave_timeout: Duration,
    handed_out: Counter,
}

impl Shared {
    pub(crate) fn new(client: Arc<GroupClient>, leave_timeout: Duration) -> Arc<Self> {
        Arc::new(Shared {
            client,
            assignment: Mutex::default(),
            replies: ReplyQueue::new(),
            to_write: Notify::new(),
            group_changed: Arc::default(),
            space_freed: Notify::new(),
            ready: Notify::new(),
            first_claim_ended: CancellationToken::new(),
            leaving: CancellationToken::new(),
            left: CancellationToken::new(),
            leave_timeout,
            handed_out: counter!("switchboard_worker_jobs_total"),
        })
    }

    pub(crate) fn assignment(&self) -> MutexGuard<'_, Assignment> {
        self.assignment.lock().expect("no code that holds the assignment panics")
    }

    /// Waits for the next report to hand out. Returns `None` once the worker leaves.
    pub(crate) async fn next(&self) -> Option<Delivery> {
        loop {
            let ready = self.ready.notified();
            tokio::pin!(ready);
            ready.as_mut().enable();
            if self.leaving.is_cancelled() {
                return None;
            }
            let pause_ends = {
                let mut assignment = self.assignment();
                if let Some(delivery) = assignment.take(Instant::now()) {
                    self.handed_out.increment(1);
                    return Some(delivery);
                }
                assignment.next_pause_ends()
            };
            tokio::select! {
                () = ready => {}
                () = self.leaving.cancelled() => {}
                () = sleep_until(pause_ends.unwrap_or_else(Instant::now)), if pause_ends.is_some() => {}
            }
        }
    }

    /// Hands out the report that follows one in progress, if it is there.
    pub(crate) fn take_following(&self, earlier: &Delivery) -> Option<Delivery> {
        let delivery = self.assignment().take_following(earlier, Instant::now())?;
        self.handed_out.increment(1);
        Some(delivery)
    }

    pub(crate) fn acknowledge(&self, delivery: &Delivery) {
        self.assignment().acknowledge(delivery);
        self.to_write.notify_one();
        self.space_freed.notify_one();
        self.ready.notify_waiters();
    }

    pub(crate) fn give_back(&self, delivery: Delivery) {
        self.assignment().give_back(delivery, Instant::now());
        self.to_write.notify_one();
        self.ready.notify_waiters();
    }

    pub(crate) fn reply(&self, to: ReplyAddress, data: Payload) {
        self.replies.push(to, data);
        self.to_write.notify_one();
    }
}
