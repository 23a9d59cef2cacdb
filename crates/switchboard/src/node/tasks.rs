//! The tasks of an app. No other file of this crate starts tasks, so a graceful stop can wait for all.

use std::any::Any;
use std::future::Future;

use hyper::rt::Executor;
use tokio::runtime::Handle;
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
    #[expect(clippy::disallowed_methods, reason = "the one file of this crate that starts tasks")]
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(self.tracker.track_future(task));
    }

    /// [`spawn`](Self::spawn) on a runtime.
    pub(crate) fn spawn_on(&self, runtime: &Handle, task: impl Future<Output = ()> + Send + 'static) {
        runtime.spawn(self.tracker.track_future(task));
    }

    /// Starts a task that runs until the app stops, such as a flusher.
    pub(crate) fn spawn_service(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_service_on(&Handle::current(), task);
    }

    /// [`spawn_service`](Self::spawn_service) on a runtime.
    pub(crate) fn spawn_service_on(&self, runtime: &Handle, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        runtime.spawn(async move { stop.run_until_cancelled(task).await });
    }

    /// Starts a task like [`spawn_service`](Self::spawn_service), unless the caller is outside of a runtime.
    pub(crate) fn try_spawn_service(&self, task: impl Future<Output = ()> + Send + 'static) {
        if tokio::runtime::Handle::try_current().is_ok() {
            self.spawn_service(task);
        }
    }

    /// Waits until all tasks of [`spawn`](Self::spawn) have ended.
    pub(crate) async fn finished(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Cancels all tasks of [`spawn_service`](Self::spawn_service).
    pub(crate) fn stop_services(&self) {
        self.stop.cancel();
    }
}

/// The tasks of HTTP/2 connections, one for each request.
impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.spawn(task);
    }
}

/// The payload of a panic.
pub(crate) type Panic = Box<dyn Any + Send>;

/// The message of a panic, if its payload is a string.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let message = panic.downcast_ref::<&str>().map(|message| message.to_string());
    message.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}
