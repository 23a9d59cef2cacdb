//! Signals: the first one stops the server, the second one ends the process.

use tokio::signal::unix::{SignalKind, signal};

use super::error::RunError;

/// Returns a future that is ready at the first SIGTERM or SIGINT. A second signal ends the process with
/// status 1.
pub(super) fn stop_signal() -> Result<impl Future<Output = ()> + Send + 'static, RunError> {
    let mut term = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let (first, stopped) = tokio::sync::oneshot::channel();
    let watch = async move {
        let mut next = async || tokio::select! { _ = term.recv() => {}, _ = interrupt.recv() => {} };
        next().await;
        tracing::info!("signal received; stopping, and a second signal ends the process");
        let _ = first.send(());
        next().await;
        tracing::warn!("second signal received; process ends without a graceful stop");
        std::process::exit(1);
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "it outlives the app's tasks, whose stop it can cut short"
    )]
    tokio::spawn(watch);
    Ok(async {
        let _ = stopped.await;
    })
}
