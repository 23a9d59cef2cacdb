//! A paused outbox: live messages wait behind the stored ones that are redelivered first.
//!
//! A message that is stored between the login and the reading of the inbox is seen on both ways; its
//! live copy is dropped when the outbox resumes.

use std::collections::HashSet;
use std::sync::Arc;

use switchboard_backplane::Inbox;
use switchboard_event::MessageNumber;
use switchboard_hub::Session;

use crate::node::Node;
use crate::node::conn::Conn;

/// The pause of one socket's outbox; dropped, it resumes.
pub(crate) struct PausedOutbox {
    pub(crate) node: Arc<Node>,
    pub(crate) session: Arc<Session>,
    pub(crate) inbox: Arc<dyn Inbox>,
    /// Redelivered messages, whose live copies are dropped.
    pub(crate) redelivered: HashSet<MessageNumber>,
}

impl PausedOutbox {
    /// `None` if the app has no inbox.
    pub(crate) fn begin(node: &Arc<Node>, session: &Arc<Session>) -> Option<Self> {
        let inbox = node.inbox()?.clone();
        Conn::of(session).deliveries().pause(node.hub(), session);
        let (node, session) = (node.clone(), session.clone());
        Some(PausedOutbox { node, session, inbox, redelivered: HashSet::new() })
    }
}

impl Drop for PausedOutbox {
    fn drop(&mut self) {
        let PausedOutbox { node, session, redelivered, .. } = self;
        let was_redelivered = |number| redelivered.contains(&number);
        Conn::of(session).deliveries().resume(node.hub(), session, was_redelivered);
    }
}
