//! The receiving end of the job queue, for a thread outside the runtime.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::job::Job;

/// Maximum number of jobs in one transaction.
const BATCH_MAX: usize = 4096;

/// How long [`JobQueue::gather`] waits for more jobs at a time.
const GATHER_INTERVAL: Duration = Duration::from_micros(100);

pub(crate) struct JobQueue {
    jobs: mpsc::Receiver<Job>,
    waker: Waker,
    last_batch: usize,
}

/// Wakes the thread that waits in [`JobQueue::receive`].
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

impl JobQueue {
    /// A queue for the current thread.
    pub(crate) fn new(jobs: mpsc::Receiver<Job>) -> Self {
        JobQueue { jobs, waker: Waker::from(Arc::new(Unpark(thread::current()))), last_batch: 0 }
    }

    /// Waits for the jobs of the next transaction, at most until `deadline`. Returns an empty batch when the inbox is
    /// closed, and `Pending` at the deadline.
    pub(crate) fn receive(&mut self, deadline: Instant, now: impl Fn() -> Instant) -> Poll<Vec<Job>> {
        let mut jobs = Vec::new();
        loop {
            let mut context = Context::from_waker(&self.waker);
            if self.jobs.poll_recv_many(&mut context, &mut jobs, BATCH_MAX).is_ready() {
                self.gather(&mut jobs);
                return Poll::Ready(jobs);
            }
            let left = deadline.saturating_duration_since(now());
            if left.is_zero() {
                return Poll::Pending;
            }
            thread::park_timeout(left);
        }
    }

    /// Waits for further jobs of callers whose last jobs have just completed: while more arrive, until there are as
    /// many as in the last batch. Otherwise these callers would miss this transaction and wait for the next one.
    fn gather(&mut self, jobs: &mut Vec<Job>) {
        let mut count = 0;
        while count < jobs.len() && jobs.len() < self.last_batch {
            count = jobs.len();
            thread::sleep(GATHER_INTERVAL);
            jobs.extend(std::iter::from_fn(|| self.jobs.try_recv().ok()).take(BATCH_MAX - count));
        }
        self.last_batch = jobs.len();
    }
}
