//! Workers for what clients of Switchboard do: they get what no handler of a node takes, in the order of
//! each client, shared out among the workers of a group, at least once.
//!
//! ```no_run
//! use switchboard_worker::{Portal, PortalOptions, Work};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let portal = Portal::connect("redis://127.0.0.1:6379", PortalOptions::of_group("chat".try_into()?)).await?;
//! portal
//!     .run(async |work: Work| match work.name() {
//!         // An emit client that asked waits for the answer.
//!         "/sum" => match work.data::<Vec<f64>>() {
//!             Ok(numbers) => drop(work.reply(&numbers.iter().sum::<f64>())),
//!             Err(error) => drop(work.reply_error("bad_data", &error.to_string())),
//!         },
//!         _ => println!("{:?} did {:?}", work.report().user, work.report().deed),
//!     })
//!     .await;
//! # Ok(()) }
//! ```
//!
//! Each group gets every report. In a group, all of one client go to the same worker as long as it lives,
//! one after the other; clients of different workers, and different clients of one, do not wait for each
//! other. A worker that dies, or says nothing for the length of its lease, loses its clients to the others,
//! and what it had not acknowledged is handed out again: [`Work::may_repeat`] says so, and [`Work::id`]
//! tells one from another.

mod desk;
mod driver;
mod options;
mod work;

use std::future::Future;
use std::sync::Arc;

use metrics::counter;
use tokio::task::JoinSet;
use tokio_util::sync::DropGuard;

pub use options::PortalOptions;
pub use switchboard_event::{Dialect, Name, NameError, Payload, PayloadError, ProjectId, SocketId};
pub use switchboard_hub::portal::ReportId;
pub use switchboard_hub::{Deed, Report, Said};
pub use switchboard_redis::{ConnectError, Mode, Options as RedisOptions};
pub use work::{AnswerError, Work};

use driver::Shared;
use switchboard_redis::work::Post;
use work::Held;

/// One worker of a group. Clones are the same worker; when the last is dropped it is gone, and others get
/// its clients when its lease ends.
#[derive(Clone)]
pub struct Portal {
    shared: Arc<Shared>,
    concurrency: usize,
    _stop: Arc<DropGuard>,
}

impl Portal {
    /// Joins a group through one Redis server, with the prefix `switchboard`. Fails if Redis cannot be
    /// reached; from then on lost connections are made again.
    pub async fn connect(url: &str, options: PortalOptions) -> Result<Self, ConnectError> {
        Portal::connect_with(&RedisOptions::new(url), options).await
    }

    /// The same through any Redis that nodes can use. Of its options only those of the connection and the
    /// prefix count.
    #[expect(clippy::disallowed_methods, reason = "the one task of a worker; it ends with it")]
    pub async fn connect_with(redis: &RedisOptions, options: PortalOptions) -> Result<Self, ConnectError> {
        let shared = Shared::new(Post::new(redis, options.place())?, options.leave_within);
        let line = shared.open().await?;
        let stop = tokio_util::sync::CancellationToken::new();
        let (driving, stopped) = (shared.clone().drive(Some(line)), stop.clone());
        tokio::spawn(async move { stopped.run_until_cancelled(driving).await });
        Ok(Portal { shared, concurrency: options.concurrency.max(1), _stop: Arc::new(stop.drop_guard()) })
    }

    /// Its id, by which `@portal-join` hooks know it.
    pub fn id(&self) -> &str {
        &self.shared.post.place().worker
    }

    /// The next report whose client has none at work; none once the worker [leaves](Self::leave).
    ///
    /// ```no_run
    /// # async fn example(portal: switchboard_worker::Portal) {
    /// while let Some(work) = portal.next().await {
    ///     println!("{:?}", work.report());
    ///     work.ack();
    /// }
    /// # }
    /// ```
    pub async fn next(&self) -> Option<Work> {
        self.shared.next().await.map(|task| Work::new(&self.shared, task))
    }

    /// Has every report handled until the worker [leaves](Self::leave), those of different clients side by
    /// side. A report is acknowledged when the handler returns; and when it panics, which is logged and
    /// counted, since it would again.
    pub async fn run<F, Fut>(&self, handler: F)
    where
        F: Fn(Work) -> Fut,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let mut running = JoinSet::new();
        loop {
            tokio::select! {
                work = self.next(), if running.len() < self.concurrency => {
                    let Some(work) = work else { break };
                    let handling = Handling(work.0.clone());
                    let future = handler(work);
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
    /// [`leave_within`](PortalOptions::leave_within), and gives its clients to the others at once.
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
