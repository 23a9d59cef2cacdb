//! Questions about single messages.

use switchboard_event::TraceId;

use crate::api::app::App;
use crate::node::dry_run::collect::{ExplainError, explain};
use crate::node::dry_run::view::{Explanation, Planned};
use crate::node::errors::QueryError;
use crate::node::trace::collect::{collect, collect_recent};
use crate::node::trace::record::{RecentTraces, Trace};

/// # Traces
impl App {
    /// Reads what all nodes have recorded of a message that was [traced](crate::Emitter::trace). Waits at most 2 s for the
    /// other nodes, and names those that do not answer. Fails if the store cannot list the nodes.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use switchboard::{App, Payload};
    /// # let app = App::new();
    /// let sent = app.to("#lobby").trace().send_payload("news", Payload::of("hi")?)?;
    /// let trace = app.trace(sent.trace.unwrap()).await?;
    /// assert_eq!((trace.nodes.len(), trace.unanswered.len()), (1, 0));
    /// # Ok(()) }
    /// ```
    pub async fn trace(&self, id: TraceId) -> Result<Trace, QueryError> {
        Ok(collect(self.node(), self.project_id(), id).await?)
    }

    /// Explains whether a message would arrive, and why not, by rights, memberships, connections and nodes. Sends nothing.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use switchboard::App;
    /// use switchboard::trace::Planned;
    ///
    /// # let app = App::new();
    /// let explanation = app.explain(&Planned::new("user:7", "order")).await?;
    /// assert!(!explanation.would_arrive);
    /// assert_eq!(explanation.sentences[0], "User 7 has no socket on any node.");
    /// # Ok(()) }
    /// ```
    pub async fn explain(&self, planned: &Planned) -> Result<Explanation, ExplainError> {
        explain(self.node(), self.project_id(), planned).await
    }

    /// Lists the last `limit` messages that were traced, by request or as samples. Waits like [`trace`](Self::trace).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use switchboard::App;
    /// # let app = App::new();
    /// app.to("#lobby").trace().emit("news", "hi")?;
    /// let recent = app.recent_traces(10).await?;
    /// assert_eq!(recent.traces[0].message.event, "news");
    /// # Ok(()) }
    /// ```
    pub async fn recent_traces(&self, limit: usize) -> Result<RecentTraces, QueryError> {
        Ok(collect_recent(self.node(), self.project_id(), limit).await?)
    }
}
