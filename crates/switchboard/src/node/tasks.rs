//! The only place that starts tasks, so that a stop can wait for all of them.

use std::any::Any;
use std::future::Future;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The tasks of an app.
#[derive(Clone, Default)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// Starts a task that ends by itself, such as a connection or a handler.
    #[expect(clippy::disallowed_methods, reason = "the one place that is allowed to")]
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(self.tracker.track_future(task));
    }

    /// Starts a task that runs until the stop, such as a flusher.
    #[expect(clippy::disallowed_methods, reason = "the one place that is allowed to")]
    pub(crate) fn spawn_service(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        tokio::spawn(async move { stop.run_until_cancelled(task).await });
    }

    /// Waits until every task that ends by itself has.
    pub(crate) async fn finished(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Ends the services, now.
    pub(crate) fn stop_services(&self) {
        self.stop.cancel();
    }
}

/// What a task or a handler that panicked left behind.
pub(crate) type Panic = Box<dyn Any + Send>;

pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}
