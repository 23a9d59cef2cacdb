//! Workers for what clients of Switchboard do: they get what no handler of a node takes, in the order of
//! each client, shared out among the workers of a group, at least once.
//!
//! ```no_run
//! use switchboard_worker::{Worker, WorkerOptions, Job};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let worker = Worker::connect("redis://127.0.0.1:6379", WorkerOptions::new("chat".try_into()?)).await?;
//! worker
//!     .run(async |job: Job| match job.name() {
//!         // An emit client that asked waits for the answer.
//!         "/sum" => match job.data::<Vec<f64>>() {
//!             Ok(numbers) => drop(job.reply(&numbers.iter().sum::<f64>())),
//!             Err(error) => drop(job.reply_error("bad_data", &error.to_string())),
//!         },
//!         _ => println!("{:?} did {:?}", job.report().user, job.report().deed),
//!     })
//!     .await;
//! # Ok(()) }
//! ```
//!
//! Each group gets every report. In a group, all of one client go to the same worker as long as it lives,
//! one after the other; clients of different workers, and different clients of one, do not wait for each
//! other. A worker that dies, or says nothing for the length of its lease, loses its clients to the others,
//! and what it had not acknowledged is handed out again: [`Job::redelivered`] says so, and [`Job::id`]
//! tells one from another.

mod desk;
mod driver;
mod job;
mod options;

use std::future::Future;
use std::sync::Arc;

use metrics::counter;
use tokio::task::JoinSet;
use tokio_util::sync::DropGuard;

pub use job::{Job, JobReplyError};
pub use options::WorkerOptions;
pub use switchboard_event::{Dialect, Name, NameError, Payload, PayloadError, ProjectId, SocketId};
pub use switchboard_hub::portal::ReportId;
pub use switchboard_hub::{Deed, Report, Said};
pub use switchboard_redis::{ConnectError, Mode, Options as RedisOptions};

use driver::Shared;
use job::Held;
use switchboard_redis::work::Post;

/// One worker of a group. Clones are the same worker; when the last is dropped it is gone, and others get
/// its clients when its lease ends.
#[derive(Clone)]
pub struct Worker {
    shared: Arc<Shared>,
    concurrency: usize,
    _stop: Arc<DropGuard>,
}

impl Worker {
    /// Joins a group through one Redis server, with the prefix `switchboard`. Fails if Redis cannot be
    /// reached; from then on lost connections are made again.
    pub async fn connect(url: &str, options: WorkerOptions) -> Result<Self, ConnectError> {
        Worker::connect_with(&RedisOptions::new(url), options).await
    }

    /// The same through any Redis that nodes can use. Of its options only those of the connection and the
    /// prefix count.
    #[expect(clippy::disallowed_methods, reason = "the one task of a worker; it ends with it")]
    pub async fn connect_with(redis: &RedisOptions, options: WorkerOptions) -> Result<Self, ConnectError> {
        let shared = Shared::new(Post::new(redis, options.place())?, options.leave_timeout);
        let line = shared.open().await?;
        let stop = tokio_util::sync::CancellationToken::new();
        let (driving, stopped) = (shared.clone().drive(Some(line)), stop.clone());
        tokio::spawn(async move { stopped.run_until_cancelled(driving).await });
        Ok(Worker { shared, concurrency: options.concurrency.max(1), _stop: Arc::new(stop.drop_guard()) })
    }

    /// Its id, by which `@portal-join` hooks know it.
    pub fn id(&self) -> &str {
        &self.shared.post.place().worker
    }

    /// The next report whose client has none at work; none once the worker [leaves](Self::leave).
    ///
    /// ```no_run
    /// # async fn example(worker: switchboard_worker::Worker) {
    /// while let Some(job) = worker.next().await {
    ///     println!("{:?}", job.report());
    ///     job.ack();
    /// }
    /// # }
    /// ```
    pub async fn next(&self) -> Option<Job> {
        self.shared.next().await.map(|task| Job::new(&self.shared, task))
    }

    /// Has every report handled until the worker [leaves](Self::leave), those of different clients side by
    /// side. A report is acknowledged when the handler returns; and when it panics, which is logged and
    /// counted, since it would again.
    pub async fn run<F, Fut>(&self, handler: F)
    where
        F: Fn(Job) -> Fut,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let mut running = JoinSet::new();
        loop {
            tokio::select! {
                job = self.next(), if running.len() < self.concurrency => {
                    let Some(job) = job else { break };
                    let handling = Handling(job.0.clone());
                    let future = handler(job);
                    running.spawn(async move {
                        let handling = handling;
                        future.await;
                        handling.0.ack();
                    });
                }
                // A panic has been logged.
                Some(_) = running.join_next(), if !running.is_empty() => {}
            }
        }
        while running.join_next().await.is_some() {}
    }

    /// Leaves the group: hands out nothing more, waits for what is being handled, at most
    /// [`leave_timeout`](WorkerOptions::leave_timeout), and gives its clients to the others at once.
    pub async fn leave(&self) {
        self.shared.leaving.cancel();
        self.shared.left.cancelled().await;
    }
}

/// A report while its handler runs.
struct Handling(Arc<Held>);

impl Drop for Handling {
    fn drop(&mut self) {
        if std::thread::panicking() {
            counter!("switchboard_work_panics_total").increment(1);
            tracing::error!(report = %self.0.task().id, "a handler panicked; the report counts as handled");
            self.0.ack();
        }
    }
}
