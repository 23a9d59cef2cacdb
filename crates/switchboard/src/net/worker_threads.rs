//! Threads that have a share of a server's connections each.
//!
//! Each runs a single-threaded runtime. A connection stays on its thread, with its handlers and the flusher lane that
//! sends their frames. Its wake-ups therefore never pass through the queue that the threads of a multi-threaded
//! runtime share, where they would wait behind those of all other connections.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::thread;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Threads that run connections and their handlers. Clones share the threads, which end with the last clone.
///
/// A server without them runs everything on the runtime that calls [`serve`](crate::serve). With them the tail of the
/// latency is shorter when many clients send at once. In return, a handler that blocks delays the other connections of
/// its thread; use `tokio::task::spawn_blocking` for such work.
///
/// ```no_run
/// use switchboard::net::WorkerThreads;
/// use switchboard::{App, serve};
///
/// # async fn example() -> std::io::Result<()> {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
/// serve(listener, App::new()).with_worker_threads(&WorkerThreads::start(4)?).await
/// # }
/// ```
#[derive(Clone)]
pub struct WorkerThreads(Arc<Shared>);

struct Shared {
    handles: Box<[Handle]>,
    _stop: DropGuard,
}

thread_local! {
    static NUMBER: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The number of the current thread, if it is a worker thread.
pub(crate) fn current_number() -> Option<usize> {
    NUMBER.get()
}

impl WorkerThreads {
    /// Starts this many threads; 0 starts one for each core that the process may use.
    ///
    /// # Errors
    /// The system does not allow another thread or poll instance.
    ///
    /// ```
    /// # use switchboard::net::WorkerThreads;
    /// # fn main() -> std::io::Result<()> {
    /// let threads = WorkerThreads::start(2)?;
    /// assert_eq!(threads.count(), 2);
    /// # Ok(()) }
    /// ```
    pub fn start(count: usize) -> io::Result<Self> {
        let count = if count == 0 { thread::available_parallelism().map_or(1, usize::from) } else { count };
        let stop = CancellationToken::new();
        let threads = Shared { _stop: stop.clone().drop_guard(), handles: start_all(count, &stop)? };
        Ok(WorkerThreads(Arc::new(threads)))
    }

    /// The number of threads.
    pub fn count(&self) -> usize {
        self.0.handles.len()
    }

    /// The runtimes of the threads.
    pub(crate) fn handles(&self) -> &[Handle] {
        &self.0.handles
    }

    /// The runtime with the fewest tasks; an idle connection is one task.
    pub(crate) fn least_busy(&self) -> &Handle {
        let handles = self.handles().iter();
        handles.min_by_key(|handle| handle.metrics().num_alive_tasks()).expect("there is at least one thread")
    }
}

fn start_all(count: usize, stop: &CancellationToken) -> io::Result<Box<[Handle]>> {
    let start = |number| {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (handle, stop) = (runtime.handle().clone(), stop.clone());
        thread::Builder::new().name(format!("worker-{number}")).spawn(move || run(&runtime, number, stop))?;
        Ok(handle)
    };
    (0..count).map(start).collect()
}

/// Runs the tasks of a thread until the last clone of [`WorkerThreads`] is dropped.
fn run(runtime: &Runtime, number: usize, stop: CancellationToken) {
    NUMBER.set(Some(number));
    runtime.block_on(stop.cancelled_owned());
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_task_runs_on_the_thread_with_the_fewest_tasks() {
        let threads = WorkerThreads::start(3).unwrap();
        let (send, numbers) = mpsc::channel();
        for _ in 0..6 {
            let send = send.clone();
            threads.least_busy().spawn(async move {
                send.send(current_number()).unwrap();
                std::future::pending::<()>().await;
            });
            // A task counts from its spawn, so there is nothing to wait for.
        }
        let mut numbers: Vec<_> =
            (0..6).map(|_| numbers.recv_timeout(Duration::from_secs(60)).unwrap().unwrap()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [0, 0, 1, 1, 2, 2]);
        assert_eq!(current_number(), None);
    }

    #[test]
    fn the_threads_end_with_the_last_clone() {
        let threads = WorkerThreads::start(1).unwrap();
        let (send, dropped) = mpsc::channel();
        let at_the_end = DropSignal(send);
        threads.handles()[0].spawn(async move {
            let _held = at_the_end;
            std::future::pending::<()>().await;
        });
        let clone = threads.clone();
        drop(threads);
        assert_eq!(dropped.try_recv(), Err(mpsc::TryRecvError::Empty));
        drop(clone);
        dropped.recv_timeout(Duration::from_secs(60)).unwrap();
    }

    struct DropSignal(mpsc::Sender<()>);

    impl Drop for DropSignal {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
}
