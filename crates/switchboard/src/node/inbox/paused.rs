//! A paused outbox: it holds live messages back until the stored messages are redelivered.
//!
//! A message that is stored between the login and the read of the inbox is both redelivered and delivered
//! live. Its live copy is dropped when the outbox resumes.

use std::collections::HashSet;
use std::sync::Arc;

use switchboard_backplane::Inbox;
use switchboard_event::MessageNumber;
use switchboard_hub::Session;

use crate::node::Node;
use crate::node::connection_state::ConnectionState;

/// Keeps the outbox of one socket paused until it is dropped.
pub(crate) struct PausedOutbox {
    pub(crate) node: Arc<Node>,
    pub(crate) session: Arc<Session>,
    pub(crate) inbox: Arc<dyn Inbox>,
    /// Redelivered messages. Their live copies are dropped.
    pub(crate) redelivered: HashSet<MessageNumber>,
}

impl PausedOutbox {
    /// Pauses the outbox. `None` if the app has no inbox.
    pub(crate) fn begin(node: &Arc<Node>, session: &Arc<Session>) -> Option<Self> {
        let inbox = node.inbox()?.clone();
        ConnectionState::of(session).deliveries().pause(node.hub(), session);
        let (node, session) = (node.clone(), session.clone());
        Some(PausedOutbox { node, session, inbox, redelivered: HashSet::new() })
    }
}

impl Drop for PausedOutbox {
    fn drop(&mut self) {
        let PausedOutbox { node, session, redelivered, .. } = self;
        let was_redelivered = |number| redelivered.contains(&number);
        ConnectionState::of(session).deliveries().resume(node.hub(), session, was_redelivered);
    }
}
