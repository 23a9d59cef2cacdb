//! Sending clients away: before a stop, and when a node is drained without one.
//!
//! A client that can move (it understands the notice `@goaway`) gets the notice with a time slot of its own. It connects to another
//! node at that time and gives its connection up afterwards. Every other client is closed with 1012 at its slot.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use switchboard_event::Payload;
use switchboard_hub::Session;
use switchboard_ws::close::{CloseCode, close_frame};

use crate::api::app::App;
use crate::node::Node;
use crate::node::clock::now;
use crate::node::connection_state::{ConnectionState, is_closed};
use crate::node::drain::count_notices;
use crate::protocols::encode_notice;

/// Reason in the close frame of a client that is sent away.
pub(crate) const STOPPING: &str = "the server restarts";

/// The event that sends a client away, without its prefix.
const GOAWAY: &str = "goaway";

/// The shortest pause, because timers are not more precise.
const PAUSE_MIN: Duration = Duration::from_millis(1);

/// Why clients are sent away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    Stop,
    Drain,
}

impl Reason {
    fn label(self) -> &'static str {
        match self {
            Reason::Stop => "stop",
            Reason::Drain => "drain",
        }
    }
}

/// How often a drain looks whether clients are left.
const EMPTY_CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// The state of a drain, from [`App::drain`] and [`App::cancel_drain`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainStatus {
    /// The node is draining.
    pub is_draining: bool,
    /// Connections that are still on this node.
    pub connections: usize,
    /// Those of them that understand the notice to go away. All others are closed with 1012.
    pub moving: usize,
}

impl App {
    /// Sends the clients of this node away, and refuses new ones until [`cancel_drain`](Self::cancel_drain). The clients that are
    /// still here are served meanwhile. A client of the TypeScript SDK or the Rust client connects to another node by itself, in a
    /// time slot of its own; all others, and those that have not gone in time, are closed with 1012, spread over the window. Returns
    /// at once; a second call changes nothing and returns the current numbers.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// use std::time::Duration;
    ///
    /// let status = app.drain(Duration::from_secs(10));
    /// assert!(status.is_draining && app.is_draining());
    /// assert_eq!((status.connections, status.moving), (1, 0));
    /// assert!(!app.cancel_drain().is_draining);
    /// # }
    /// ```
    pub fn drain(&self, window: Duration) -> DrainStatus {
        let node = self.node();
        if let Some(ended) = (!self.is_stopping()).then(|| node.drain.begin()).flatten() {
            let plan = Departure::announce(node, window, Reason::Drain);
            let node = node.clone();
            self.node().tasks.spawn_service(async move {
                ended.run_until_cancelled(plan.run(&node)).await;
            });
        }
        self.drain_status()
    }

    /// Ends a drain: the node accepts connections again, and clients that have not gone yet stay.
    pub fn cancel_drain(&self) -> DrainStatus {
        if self.node().drain.end() && !self.is_stopping() {
            let data = Payload::of(&json!({ "cancelled": true })).expect("it is JSON");
            for session in self.hub().index().all_sessions() {
                if may_move(&session) {
                    self.node().notify_extension(&session, GOAWAY, &data);
                }
            }
        }
        self.drain_status()
    }

    /// Returns true while the node is draining.
    pub fn is_draining(&self) -> bool {
        self.node().drain.is_under_way()
    }

    /// Waits until a drain is complete: no client is connected to this node any more, though sessions may be kept. Returns
    /// false if the node is not draining, or the drain is cancelled.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let app = switchboard::App::new();
    /// assert!(!app.drained().await);
    /// app.drain(std::time::Duration::from_secs(10));
    /// assert!(app.drained().await, "there was no client");
    /// # }
    /// ```
    pub async fn drained(&self) -> bool {
        let Some(ended) = self.node().drain.token() else { return false };
        let emptied = async {
            while self.drain_status().connections > 0 {
                tokio::time::sleep(EMPTY_CHECK_INTERVAL).await;
            }
        };
        ended.run_until_cancelled(emptied).await.is_some()
    }

    /// The state of a drain.
    pub fn drain_status(&self) -> DrainStatus {
        let mut sessions = self.hub().index().all_sessions();
        sessions.retain(|session| !is_closed(session) && !is_detached(session));
        let moving = sessions.iter().filter(|session| may_move(session)).count();
        DrainStatus { is_draining: self.is_draining(), connections: sessions.len(), moving }
    }
}

fn is_detached(session: &Session) -> bool {
    ConnectionState::of(session).resume().is_some_and(|resume| resume.is_detached())
}

/// Returns true if the client understands the notice.
fn may_move(session: &Session) -> bool {
    ConnectionState::of(session).info.understands_extensions()
        && encode_notice(session.protocol, GOAWAY, &Payload::NULL).is_some()
}

/// When each connection of a node is closed, if it is still there.
pub(crate) struct Departure {
    began: Instant,
    /// In the order of the times.
    closes: Vec<(Duration, Arc<Session>)>,
}

impl Departure {
    /// Plans the close of all connections within a window, and sends the notices to clients that move by themselves. These
    /// have the first half of the window for their slots, and another half each to move.
    pub(crate) fn announce(node: &Node, window: Duration, reason: Reason) -> Self {
        let sessions = node.hub().index().all_sessions();
        let (moving, others): (Vec<_>, Vec<_>) = sessions.into_iter().partition(|session| may_move(session));
        // Without time to move in, the notice would be of no use.
        let grace = window / 2;
        if !grace.is_zero() {
            count_notices(moving.len());
        }
        let moves = slots(moving, grace).map(|(slot, session)| {
            if !grace.is_zero() {
                notify(node, &session, slot, grace, reason);
            }
            (slot + grace, session)
        });
        let mut closes: Vec<_> = moves.chain(slots(others, window)).collect();
        closes.sort_by_key(|(due, _)| *due);
        Departure { began: now(), closes }
    }

    /// Closes each connection when its time has come. A connection that has ended costs no wait.
    pub(crate) async fn run(self, node: &Node) {
        for (due, session) in self.closes {
            if is_closed(&session) || is_detached(&session) {
                continue;
            }
            let left = due.saturating_sub(self.began.elapsed());
            if left >= PAUSE_MIN {
                tokio::time::sleep(left).await;
            }
            // It may have gone, or been resumed by a connection of another node, meanwhile.
            if !is_closed(&session) && !is_detached(&session) {
                ConnectionState::of(&session).record_close_code(CloseCode::RESTART);
                // Not `Node::close`, which would end a session that becomes detached at this moment.
                node.hub().close(&session, close_frame(CloseCode::RESTART, STOPPING));
            }
        }
    }
}

/// Spreads sessions evenly over a window, beginning at once.
fn slots(sessions: Vec<Arc<Session>>, window: Duration) -> impl Iterator<Item = (Duration, Arc<Session>)> {
    let pause = window.checked_div(sessions.len() as u32).unwrap_or_default();
    sessions.into_iter().enumerate().map(move |(index, session)| (pause * index as u32, session))
}

fn notify(node: &Node, session: &Arc<Session>, slot: Duration, grace: Duration, reason: Reason) {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let data = json!({ "in_ms": ms(slot), "grace_ms": ms(grace), "reason": reason.label() });
    node.notify_extension(session, GOAWAY, &Payload::of(&data).expect("numbers and texts are JSON"));
}
