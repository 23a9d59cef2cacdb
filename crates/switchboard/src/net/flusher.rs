//! Sends frames that handlers queued for other sockets. Each thread has a lane: a queue of
//! sessions with unsent frames, flushed in order by one task. The lane of a [worker thread](crate::net::worker_threads) runs on that
//! thread; the other lanes belong to the runtime that started the server.
//!
//! A lane yields after every [`SLICE`] sends. During a long fan-out the worker therefore still reads
//! other connections, whose replies wait for one slice only, and frames of several fan-outs to one
//! receiver are sent together.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use metrics::Counter;
use switchboard_event::Protocol;
use switchboard_hub::{FlushScheduler, Flushed, Session};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::net::worker_threads::{WorkerThreads, current_number};
use crate::node::tasks::Tasks;

/// Sends between two yields. At 6 µs each, a slice takes less than 1 ms.
const SLICE: usize = 128;

/// The lanes of an app.
#[derive(Default)]
pub(crate) struct Flushers {
    lanes: OnceLock<Lanes>,
}

struct Lanes {
    of_worker_threads: Box<[Arc<Lane>]>,
    of_runtime: Box<[Arc<Lane>]>,
}

#[derive(Default)]
struct Lane {
    queue: Mutex<Queue>,
    wake: Notify,
    /// Notified when the lane becomes idle.
    idle: Notify,
}

#[derive(Default)]
struct Queue {
    dirty: VecDeque<Arc<Session>>,
    /// The lane is flushing a slice, which is no longer in `dirty`.
    is_flushing: bool,
}

thread_local! {
    /// Number of this thread, if it is not a worker thread. Its lane is this number modulo the number of lanes.
    static LANE: Cell<Option<usize>> = const { Cell::new(None) };
}

static NEXT_LANE: AtomicUsize = AtomicUsize::new(0);

impl Flushers {
    /// Starts the lanes. Returns false if they run already.
    pub(crate) fn start(
        &self,
        tasks: &Tasks,
        bytes_sent: &[Counter; Protocol::COUNT],
        threads: Option<&WorkerThreads>,
    ) -> bool {
        let mut started = false;
        self.lanes.get_or_init(|| {
            started = true;
            let start_on = |runtime: &Handle| {
                let lane = Arc::<Lane>::default();
                tasks.spawn_service_on(runtime, lane.clone().run(bytes_sent.clone()));
                lane
            };
            let current = Handle::current();
            let of_runtime = (0..current.metrics().num_workers()).map(|_| start_on(&current)).collect();
            let of_worker_threads =
                threads.iter().flat_map(|threads| threads.handles()).map(start_on).collect();
            Lanes { of_worker_threads, of_runtime }
        });
        started
    }

    fn lane(&self) -> Option<&Lane> {
        let Lanes { of_worker_threads, of_runtime } = self.lanes.get()?;
        if let Some(lane) = current_number().and_then(|number| of_worker_threads.get(number)) {
            return Some(lane);
        }
        let number = LANE.get().unwrap_or_else(|| {
            let next = NEXT_LANE.fetch_add(1, Ordering::Relaxed);
            LANE.set(Some(next));
            next
        });
        Some(&of_runtime[number % of_runtime.len()])
    }

    /// Completes once the lane of this thread has sent everything that the kernel accepts. Must be polled for the
    /// first time on the thread that queued the frames.
    pub(crate) async fn flushed(&self) {
        let Some(lane) = self.lane() else { return };
        let idle = lane.idle.notified();
        if !lane.is_idle() {
            idle.await;
        }
    }
}

/// Does nothing before the lanes start, since there are no sockets yet.
impl FlushScheduler for Flushers {
    fn schedule(&self, session: Arc<Session>) {
        if let Some(lane) = self.lane() {
            lane.push(|dirty| dirty.push_back(session));
        }
    }

    fn schedule_all(&self, sessions: Vec<Arc<Session>>) {
        if let Some(lane) = self.lane() {
            lane.push(|dirty| dirty.extend(sessions));
        }
    }
}

impl Lane {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("no code that holds a lane panics")
    }

    fn is_idle(&self) -> bool {
        let queue = self.lock();
        queue.dirty.is_empty() && !queue.is_flushing
    }

    fn push(&self, add: impl FnOnce(&mut VecDeque<Arc<Session>>)) {
        let mut queue = self.lock();
        let was_empty = queue.dirty.is_empty();
        add(&mut queue.dirty);
        drop(queue);
        if was_empty {
            self.wake.notify_one();
        }
    }

    async fn run(self: Arc<Self>, bytes_sent: [Counter; Protocol::COUNT]) {
        let mut scratch = Vec::new();
        let mut slice = Vec::with_capacity(SLICE);
        loop {
            self.wake.notified().await;
            while self.take(&mut slice) {
                let mut sent = [0; Protocol::COUNT];
                for session in slice.drain(..) {
                    let (flushed, bytes) = session.outbox.flush(&mut scratch);
                    sent[session.protocol.index()] += bytes as u64;
                    if flushed == Flushed::More {
                        self.push(|dirty| dirty.push_back(session));
                    }
                }
                for (bytes_sent, sent) in bytes_sent.iter().zip(sent).filter(|(_, sent)| *sent > 0) {
                    bytes_sent.increment(sent);
                }
                tokio::task::yield_now().await;
            }
            self.idle.notify_waiters();
        }
    }

    /// Takes the next slice. Returns false if the lane is empty.
    fn take(&self, slice: &mut Vec<Arc<Session>>) -> bool {
        let mut queue = self.lock();
        let Queue { dirty, is_flushing } = &mut *queue;
        let count = dirty.len().min(SLICE);
        slice.extend(dirty.drain(..count));
        if dirty.is_empty() && dirty.capacity() > 4096 {
            dirty.shrink_to(1024);
        }
        *is_flushing = count > 0;
        *is_flushing
    }
}
