//! Signals: SIGTERM and SIGINT stop the server, SIGHUP reads its settings again.

use std::io::{IsTerminal, stdin};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use super::error::RunError;

/// The signals that do not stop the server. From their installation on they do not end the process either.
pub(super) struct Signals {
    hangup: Signal,
    user1: Signal,
    user2: Signal,
    has_terminal: bool,
}

/// The request of a signal.
pub(super) struct Requests {
    /// The name of the first signal to stop.
    pub(super) stop: oneshot::Receiver<&'static str>,
    /// A message for each SIGHUP. Signals that arrive before it is received are one message.
    pub(super) reload: mpsc::Receiver<()>,
}

impl Signals {
    /// Installs the handlers.
    pub(super) fn install() -> Result<Self, RunError> {
        let install = |kind| signal(kind).map_err(RunError::Signals);
        Ok(Signals {
            hangup: install(SignalKind::hangup())?,
            user1: install(SignalKind::user_defined1())?,
            user2: install(SignalKind::user_defined2())?,
            has_terminal: stdin().is_terminal(),
        })
    }

    /// Watches all signals from now on. A second signal to stop ends the process with status 1.
    pub(super) fn watch(mut self) -> Result<Requests, RunError> {
        let mut term = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
        let (first, stop) = oneshot::channel();
        let (hangups, reload) = mpsc::channel(1);
        let watch = async move {
            let mut first = Some(first);
            loop {
                tokio::select! {
                    _ = term.recv() => stop_or_exit(&mut first, "SIGTERM"),
                    _ = interrupt.recv() => stop_or_exit(&mut first, "SIGINT"),
                    _ = self.hangup.recv() => match self.lost_terminal() {
                        true => stop_or_exit(&mut first, "SIGHUP of a closed terminal"),
                        // A reload that has not begun yet reads the newest settings anyway.
                        false => drop(hangups.try_send(())),
                    },
                    _ = self.user1.recv() => ignore("SIGUSR1"),
                    _ = self.user2.recv() => ignore("SIGUSR2"),
                }
            }
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "it outlives the app's tasks, whose stop it can cut short"
        )]
        tokio::spawn(watch);
        Ok(Requests { stop, reload })
    }

    /// Returns true if the terminal in which the server was started has been closed. Its shell sends SIGHUP
    /// then, too.
    fn lost_terminal(&self) -> bool {
        self.has_terminal && !stdin().is_terminal()
    }
}

fn stop_or_exit(first: &mut Option<oneshot::Sender<&'static str>>, signal: &'static str) {
    let Some(first) = first.take() else {
        tracing::warn!(signal, "second signal received; process ends without a graceful stop");
        std::process::exit(1);
    };
    tracing::info!(signal, "signal received; stopping, and a second signal ends the process");
    let _ = first.send(signal);
}

fn ignore(signal: &str) {
    tracing::debug!(signal, "signal ignored; it has no meaning here");
}
