//! Errors that end the server.

use std::io;
use std::net::SocketAddr;

use metrics_exporter_prometheus::BuildError;
use switchboard_disk::{HistoryOpenError, OpenError};
use switchboard_hooks::{HandlerError, WebhookError};
use switchboard_redis::ConnectError;

use crate::config::ConfigError;
use crate::tls::TlsError;

/// Why the server did not start, or why it ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Another program uses the port, or the address is not one of this machine.
    #[error("cannot listen on {address}, the address of {key}{}", with_hint(.hint.as_deref()))]
    Listen {
        /// The setting.
        key: &'static str,
        /// The address in the settings.
        address: SocketAddr,
        /// The likely fix.
        hint: Option<String>,
        /// True if a process of this program listens there.
        is_ours: bool,
        /// The system's error.
        #[source]
        cause: io::Error,
    },
    /// The demo would listen to other machines.
    #[error(
        "the demo lets everybody who can reach {0} do everything\n\nhint: `demo --public` starts it nevertheless; \
         `serve` is for production"
    )]
    PublicDemo(SocketAddr),
    /// The process has a metrics recorder already.
    #[error("cannot install the metrics recorder")]
    Metrics(#[from] BuildError),
    /// A folder that a setting names does not exist, or a file changed after the settings were checked.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Redis cannot be reached, and `redis.required` is true.
    #[error(transparent)]
    Redis(#[from] ConnectError),
    /// Webhooks cannot be started.
    #[error(transparent)]
    Webhooks(#[from] WebhookError),
    /// The backends of events cannot be used.
    #[error(transparent)]
    Handlers(#[from] HandlerError),
    /// The file of the inbox cannot be opened.
    #[error(transparent)]
    Inbox(#[from] OpenError),
    /// The file of the history cannot be opened.
    #[error(transparent)]
    History(#[from] HistoryOpenError),
    /// A certificate cannot be used any more: its files changed after they were checked.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The process cannot receive signals.
    #[error("cannot receive signals")]
    Signals(#[source] io::Error),
    /// The system does not allow `worker_threads` more threads.
    #[error("cannot start the worker threads")]
    Threads(#[source] io::Error),
    /// A listener failed while the server ran.
    #[error("the listener failed")]
    Serve(#[source] io::Error),
}

/// The hint of an error on a line of its own.
fn with_hint(hint: Option<&str>) -> String {
    hint.map(|hint| format!("\n\nhint: {hint}")).unwrap_or_default()
}
