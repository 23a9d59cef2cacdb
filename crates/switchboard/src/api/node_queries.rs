//! Queries of nodes: what each node of a cluster answers about itself.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use switchboard_event::{NodeId, Payload};

use crate::api::app::App;
use crate::node::errors::{NodeError, QueryError};
use crate::node::node_queries;

impl App {
    /// Sets what this node answers to queries with a name; an earlier answer is replaced. Other nodes send them with
    /// [`query_nodes`](Self::query_nodes). A node answers at most 32 queries of others at once.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::QueryError> {
    /// # use std::time::Duration;
    /// # use switchboard::{App, Payload};
    /// let app = App::new();
    /// app.answer_queries("load", async |_| Payload::of(&7).expect("a number is JSON"));
    /// let answers = app.query_nodes("load", Payload::NULL, &[], Duration::from_secs(1)).await?;
    /// assert_eq!(answers.len(), 1, "there is one node");
    /// # assert_eq!(answers[0].1.as_ref().unwrap().to::<u32>().unwrap(), 7);
    /// # Ok(()) }
    /// ```
    pub fn answer_queries<F>(&self, name: &str, answer: impl Fn(Payload) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Payload> + Send + 'static,
    {
        self.node().queries.set(name, Arc::new(move |data| Box::pin(answer(data))));
    }

    /// Queries these nodes, or with an empty list all nodes that the store knows, this one included. Returns their answers in
    /// the order of the nodes. A node that does not answer in time has an error in place of an answer, also if there is no
    /// such node.
    ///
    /// # Errors
    /// Fails if the list is empty and the store does not answer which nodes there are.
    pub async fn query_nodes(
        &self,
        name: &str,
        data: Payload,
        nodes: &[NodeId],
        wait: Duration,
    ) -> Result<Vec<(NodeId, Result<Payload, NodeError>)>, QueryError> {
        let mut asked = nodes.to_vec();
        if asked.is_empty() {
            asked = self.nodes().await?.into_iter().map(|lease| lease.node).collect();
        }
        if asked.is_empty() {
            asked.push(self.hub().bus().node());
        }
        let mut answers = node_queries::query(self.node(), &asked, name, data, wait).await;
        answers.sort_by_key(|(id, _)| asked.iter().position(|asked| asked == id));
        Ok(answers)
    }
}
