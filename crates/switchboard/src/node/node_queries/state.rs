//! What a node answers to queries of nodes.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use switchboard_backplane::BoxFuture;
use switchboard_event::Payload;
use tokio::sync::Semaphore;

/// Queries of other nodes that a node answers at once. Further ones are refused.
pub(crate) const ANSWERS_MAX: usize = 32;

/// Answers a query of a node.
pub(crate) type NodeAnswer = Arc<dyn Fn(Payload) -> BoxFuture<'static, Payload> + Send + Sync>;

/// What this node answers, by the names of queries.
pub(crate) struct NodeQueries {
    answers: RwLock<HashMap<String, NodeAnswer>>,
    /// The answers under way.
    pub(crate) running: Semaphore,
}

impl Default for NodeQueries {
    fn default() -> Self {
        NodeQueries { answers: RwLock::default(), running: Semaphore::new(ANSWERS_MAX) }
    }
}

impl NodeQueries {
    /// Sets the answer to queries with a name.
    pub(crate) fn set(&self, name: &str, answer: NodeAnswer) {
        self.answers.write().expect("no code that holds the answers panics").insert(name.to_owned(), answer);
    }

    pub(crate) fn answer(&self, name: &str) -> Option<NodeAnswer> {
        self.answers.read().expect("no code that holds the answers panics").get(name).cloned()
    }
}
