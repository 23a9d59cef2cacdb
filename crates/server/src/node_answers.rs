//! What this node answers to the other nodes about itself, for the HTTP API and the console.

use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use switchboard::backplane::NodeId;
use switchboard::{App, DrainStatus, Payload, QueryError};
use switchboard_hooks::Webhooks;

use crate::config::Config;
use crate::connections::{self, ConnectionDetail, ConnectionQuery, ConnectionsQuery, MatchingConnections};
use crate::figures::{Figures, Range, Series};
use crate::version::Version;

/// How long to wait for the answers of nodes.
const WAIT: Duration = Duration::from_secs(2);

const FIGURES: &str = "switchboard:figures";
const STATE: &str = "switchboard:state";
const DRAIN: &str = "switchboard:drain";
const CONNECTIONS: &str = "switchboard:connections";
const CONNECTION: &str = "switchboard:connection";

/// Asks for figures after a sample.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct FiguresQuery {
    pub(crate) range: Range,
    pub(crate) after: u64,
}

/// The state of a node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct NodeState {
    pub(crate) version: String,
    pub(crate) commit: String,
    pub(crate) started_at_ms: u64,
    pub(crate) connections: usize,
    /// Those that move by themselves during a drain.
    pub(crate) moving: usize,
    pub(crate) outbox_bytes: usize,
    pub(crate) draining: bool,
    pub(crate) stopping: bool,
    pub(crate) degraded: bool,
    /// The beginning of the hash of the settings that nodes usually share.
    pub(crate) settings: String,
}

/// Begins or cancels a drain.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct DrainOrder {
    pub(crate) cancel: bool,
    pub(crate) window_ms: u64,
}

/// The state of a drain.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct DrainState {
    pub(crate) draining: bool,
    pub(crate) connections: usize,
    pub(crate) moving: usize,
}

impl From<DrainStatus> for DrainState {
    fn from(status: DrainStatus) -> Self {
        let DrainStatus { is_draining, connections, moving, .. } = status;
        DrainState { draining: is_draining, connections, moving }
    }
}

/// What this node knows about itself, besides its app.
pub(crate) struct ThisNode {
    pub(crate) version: Version,
    pub(crate) started_at_ms: u64,
    pub(crate) settings: SettingsHash,
    /// They report the end of a drain.
    pub(crate) webhooks: Option<Arc<Webhooks>>,
}

/// The hash of the settings in effect, which a reload replaces.
#[derive(Clone, Default)]
pub(crate) struct SettingsHash(Arc<RwLock<String>>);

impl SettingsHash {
    pub(crate) fn of(config: &Config) -> Self {
        SettingsHash(Arc::new(RwLock::new(config.shared_hash())))
    }

    pub(crate) fn set(&self, config: &Config) {
        *self.0.write().expect("no code that holds the hash panics") = config.shared_hash();
    }

    fn current(&self) -> String {
        self.0.read().expect("no code that holds the hash panics").clone()
    }
}

/// Lets this node answer queries.
pub(crate) fn install(app: &App, this: ThisNode, figures: &Arc<Figures>) {
    let figures = figures.clone();
    answer(app, FIGURES, move |query: FiguresQuery| Some(figures.read(query.range, query.after)));
    let state_app = app.clone();
    let webhooks = this.webhooks.clone();
    answer(app, STATE, move |()| Some(state(&state_app, &this)));
    let connections_app = app.clone();
    answer(app, CONNECTIONS, move |query: ConnectionsQuery| connections::list(&connections_app, &query));
    let connection_app = app.clone();
    answer(app, CONNECTION, move |query: ConnectionQuery| connections::find(&connection_app, &query));
    let drain_app = app.clone();
    answer(app, DRAIN, move |order: DrainOrder| Some(drain(&drain_app, webhooks.as_ref(), order)));
}

/// Executes a drain on this node.
pub(crate) fn drain(app: &App, webhooks: Option<&Arc<Webhooks>>, order: DrainOrder) -> DrainState {
    let is_new = !order.cancel && !app.is_draining();
    let status = match order.cancel {
        true => app.cancel_drain(),
        false => app.drain(Duration::from_millis(order.window_ms)),
    };
    if is_new && let Some(webhooks) = webhooks {
        report_end(app.clone(), webhooks.clone());
    }
    status.into()
}

/// Reports to webhooks that the clients have gone, unless the drain is cancelled.
#[expect(clippy::disallowed_methods, reason = "it ends with the drain, and there is one drain at a time")]
fn report_end(app: App, webhooks: Arc<Webhooks>) {
    tokio::spawn(async move {
        if app.drained().await {
            webhooks.report_drained(app.hub().bus().node());
        }
    });
}

fn state(app: &App, this: &ThisNode) -> NodeState {
    let (hub, drain) = (app.hub(), app.drain_status());
    NodeState {
        version: this.version.number.to_owned(),
        commit: this.version.commit.to_owned(),
        started_at_ms: this.started_at_ms,
        connections: drain.connections,
        moving: drain.moving,
        outbox_bytes: hub.outbox_totals().queued,
        draining: drain.is_draining,
        stopping: app.is_stopping(),
        degraded: hub.bus().is_degraded() || !hub.store().is_up(),
        settings: this.settings.current(),
    }
}

/// Answers queries with a name. A query that cannot be read, as of another version, is answered with `null`.
fn answer<Q: DeserializeOwned, A: Serialize>(
    app: &App,
    name: &str,
    answer: impl Fn(Q) -> Option<A> + Send + Sync + 'static,
) {
    app.answer_queries(name, move |query| {
        let answer = query.to::<Q>().ok().and_then(&answer);
        std::future::ready(Payload::of(&answer).expect("texts and numbers are JSON"))
    });
}

/// The answer of a node; `None` if it did not answer in time.
pub(crate) type Answered<A> = (NodeId, Option<A>);

/// The figures of nodes; an empty list means all.
pub(crate) async fn figures(
    app: &App,
    query: FiguresQuery,
    nodes: &[NodeId],
) -> Result<Vec<Answered<Series>>, QueryError> {
    ask(app, FIGURES, &query, nodes).await
}

/// The states of all nodes.
pub(crate) async fn states(app: &App) -> Result<Vec<Answered<NodeState>>, QueryError> {
    ask(app, STATE, &(), &[]).await
}

/// The connections of nodes that match; an empty list of nodes means all.
pub(crate) async fn connections(
    app: &App,
    query: &ConnectionsQuery,
    nodes: &[NodeId],
) -> Result<Vec<Answered<MatchingConnections>>, QueryError> {
    ask(app, CONNECTIONS, query, nodes).await
}

/// A connection, of any node.
pub(crate) async fn connection(
    app: &App,
    query: &ConnectionQuery,
) -> Result<Option<ConnectionDetail>, QueryError> {
    let answers = ask(app, CONNECTION, query, &[query.socket.node()]).await?;
    Ok(answers.into_iter().find_map(|(_, answer)| answer))
}

/// Drains a node, or cancels that.
pub(crate) async fn drain_node(
    app: &App,
    order: DrainOrder,
    node: NodeId,
) -> Result<Option<DrainState>, QueryError> {
    let answers = ask(app, DRAIN, &order, &[node]).await?;
    Ok(answers.into_iter().find_map(|(_, answer)| answer))
}

async fn ask<A: DeserializeOwned>(
    app: &App,
    name: &str,
    query: &impl Serialize,
    nodes: &[NodeId],
) -> Result<Vec<Answered<A>>, QueryError> {
    let query = Payload::of(query).expect("texts and numbers are JSON");
    let answers = app.query_nodes(name, query, nodes, WAIT).await?;
    let read = |answer: Payload| answer.to::<Option<A>>().ok().flatten();
    Ok(answers.into_iter().map(|(node, answer)| (node, answer.ok().and_then(read))).collect())
}

/// Now, in ms since 1970.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
