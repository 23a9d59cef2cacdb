//! The public handle of a worker.

use std::future::Future;
use std::sync::Arc;

use metrics::counter;
use switchboard_log::limited;
use switchboard_redis::worker::GroupClient;
use switchboard_redis::{ConnectError, Options as RedisOptions};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::WorkerOptions;
use crate::driver::Driver;
use crate::job::{Job, OpenJob};
use crate::shared::Shared;

/// One worker of a group. Clones are handles of the same worker. When the last one is dropped the worker
/// stops, and other workers get its clients when its lease ends.
#[derive(Clone)]
pub struct Worker {
    shared: Arc<Shared>,
    concurrency: usize,
    _stop: Arc<DropGuard>,
}

impl Worker {
    /// Joins a group through one Redis server, with the key prefix `switchboard`. Fails if Redis cannot be
    /// reached now; connections that are lost later are re-established. Once this returns, Redis keeps new
    /// reports for the group.
    pub async fn connect(url: &str, options: WorkerOptions) -> Result<Self, ConnectError> {
        Worker::connect_with(&RedisOptions::new(url), options).await
    }

    /// Joins a group through any Redis deployment that nodes support. Only the connection options and the
    /// prefix of `redis` are used.
    #[expect(clippy::disallowed_methods, reason = "the one task of a worker; it ends with it")]
    pub async fn connect_with(redis: &RedisOptions, options: WorkerOptions) -> Result<Self, ConnectError> {
        let shared = Shared::new(GroupClient::new(redis, options.config())?, options.leave_timeout);
        let driver = Driver::connect(&shared).await?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(async move { stopped.run_until_cancelled(driver.run()).await });
        shared.first_claim_ended.cancelled().await;
        Ok(Worker { shared, concurrency: options.concurrency.max(1), _stop: Arc::new(stop.drop_guard()) })
    }

    /// The worker's id, which `@portal-join` hooks receive.
    pub fn id(&self) -> &str {
        &self.shared.client.config().worker
    }

    /// Waits for the next report of a client that has none in progress. Returns `None` once the worker
    /// [leaves](Self::leave).
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
        self.shared.next().await.map(|delivery| Job::new(&self.shared, delivery))
    }

    /// Calls `handler` for every report until the worker [leaves](Self::leave). Handlers of different
    /// clients run concurrently. A report is acknowledged when its handler returns or panics; a panic is
    /// logged and counted, and a redelivery would most likely panic again.
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
                    let guard = AckOnPanic(job.0.clone());
                    let future = handler(job);
                    running.spawn(async move {
                        let guard = guard;
                        future.await;
                        guard.0.ack();
                    });
                }
                // The guard has logged a panic.
                Some(_) = running.join_next(), if !running.is_empty() => {}
            }
        }
        while running.join_next().await.is_some() {}
    }

    /// Leaves the group. Hands out nothing more, waits for the reports in progress, at most
    /// [`leave_timeout`](WorkerOptions::leave_timeout), and releases its clients to other workers at once.
    pub async fn leave(&self) {
        self.shared.leaving.cancel();
        self.shared.left.cancelled().await;
    }
}

/// Acknowledges a report if its handler panics.
struct AckOnPanic(Arc<OpenJob>);

impl Drop for AckOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            counter!("switchboard_worker_panics_total").increment(1);
            limited!(ERROR, report = %self.0.id(), "handler panicked; its report is acknowledged");
            self.0.ack();
        }
    }
}
