//! State that the parts of one node's backplane share: identity, names, connections, and the stop of all tasks.

use std::future::Future;
use std::sync::Arc;

use switchboard_event::NodeId;
use tokio_util::sync::CancellationToken;

use crate::connection::{Connected, Connector, Reconnects, Session, supervise};
use crate::names::Names;
use crate::options::Options;

/// Shared by the bus, the store, the inbox and the report sink of a node.
pub(crate) struct Context {
    pub(crate) node: NodeId,
    pub(crate) names: Names,
    pub(crate) options: Options,
    pub(crate) connector: Connector,
    pub(crate) reconnects: Reconnects,
    /// Ends all tasks of the node.
    pub(crate) stop: CancellationToken,
}

impl Context {
    pub(crate) fn publish_verb(&self) -> &'static str {
        self.connector.publish_verb()
    }

    /// Starts the task of a supervised connection; it ends with the node. `first` is an open connection for it.
    pub(crate) fn supervise(self: &Arc<Self>, session: impl Session + 'static, first: Option<Connected>) {
        let context = self.clone();
        self.spawn(async move { supervise(&context.connector, session, first).await });
    }

    /// Starts a task that ends with the node.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        spawn(&self.stop, task);
    }
}

/// Starts a task that ends with the token.
#[expect(clippy::disallowed_methods, reason = "the one place that starts tasks; all end with the token")]
pub(crate) fn spawn(stop: &CancellationToken, task: impl Future<Output = ()> + Send + 'static) {
    let stop = stop.clone();
    tokio::spawn(async move { stop.run_until_cancelled(task).await });
}
