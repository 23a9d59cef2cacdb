//! State that the parts of one node's backplane share: identity, names, connections, and the stop of all tasks.

use std::future::Future;

use switchboard_event::NodeId;
use tokio_util::sync::CancellationToken;

use crate::connection::{Connector, Reconnects};
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
