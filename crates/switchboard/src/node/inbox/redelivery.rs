//! One redelivery of a user's inbox to a socket.
//!
//! A later one for the same user and socket replaces an earlier one, and none sends anything once the
//! socket is no longer the user's.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use switchboard_backplane::{Inbox, InboxPage, StoreError};
use switchboard_event::{Event, MessageNumber, Payload, SocketId, UserId};
use switchboard_hub::Session;
use tokio_util::sync::CancellationToken;

use crate::node::Node;
use crate::node::conn::Conn;
use crate::node::inbox::deliveries::Deliveries;
use crate::node::system_events::SystemEvent;

/// How long a client may take to acknowledge what it was sent. Then the rest stays stored.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(30);

/// The right to redeliver, until another redelivery begins.
pub(crate) struct Redelivery {
    pub(crate) node: Arc<Node>,
    pub(crate) session: Arc<Session>,
    pub(crate) user: UserId,
    inbox: Arc<dyn Inbox>,
    /// Messages sent.
    pub(crate) count: u64,
    /// The socket has the user's turn: other sockets of the user wait.
    has_turn: bool,
    over: CancellationToken,
}

impl Redelivery {
    /// Begins, in place of a redelivery for the same user and socket.
    pub(crate) fn begin(
        node: &Arc<Node>,
        session: &Arc<Session>,
        inbox: Arc<dyn Inbox>,
        user: UserId,
    ) -> Self {
        let over = Conn::of(session).deliveries().begin(&user);
        let (node, session) = (node.clone(), session.clone());
        Redelivery { node, session, user, inbox, count: 0, has_turn: false, over }
    }

    pub(crate) fn deliveries(&self) -> &Deliveries {
        Conn::of(&self.session).deliveries()
    }

    pub(crate) fn inbox(&self) -> &dyn Inbox {
        &*self.inbox
    }

    /// Cancelled when the redelivery has to end.
    pub(crate) fn over(&self) -> CancellationToken {
        self.over.clone()
    }

    /// Reads the inbox. If messages are stored and no other socket has the turn, this one takes it.
    pub(crate) async fn open(
        &mut self,
        after: Option<MessageNumber>,
        most: usize,
    ) -> Result<InboxPage, StoreError> {
        let project = &self.session.project.id;
        let opened = self.inbox.open(project, &self.user, self.session.id, after, most).await;
        self.has_turn |= opened.as_ref().is_ok_and(|opened| !opened.messages.is_empty());
        opened
    }

    /// Drops the stored messages.
    pub(crate) async fn clear(&self) {
        if let Err(error) = self.inbox.clear(&self.session.project.id, &self.user).await {
            tracing::warn!(%error, "cannot clear the inbox of a user; its messages stay stored");
        }
    }

    /// Ends the turn of another socket.
    pub(crate) async fn take_turn_from(&self, other: SocketId) {
        self.inbox.release(&self.session.project.id, &self.user, other);
        self.inbox.settled().await;
    }

    /// The frame of the next message.
    pub(crate) fn frame(&self, event: &Event) -> Bytes {
        (self.node.codec().stored)(self.session.protocol, event, self.count + 1)
    }

    /// Sends the next message. Returns false if the redelivery is over or the socket takes no more.
    pub(crate) fn send(&mut self, number: MessageNumber, frame: &Bytes) -> bool {
        let message = (self.user.clone(), number);
        let hub = self.node.hub();
        let is_sent = self.deliveries().redeliver(hub, &self.session, message, frame, &self.over);
        self.count += u64::from(is_sent);
        is_sent
    }

    /// Calls the `@redelivered` hooks, if more than `before` messages were sent.
    pub(crate) fn notify_hooks(&self, before: u64) {
        let count = self.count - before;
        if count > 0
            && let Some(hooks) = self.node.hooks(SystemEvent::Redelivered)
        {
            let data = json!({ "user": self.user, "count": count });
            let data = Payload::of(&data).expect("texts and numbers are JSON");
            hooks.notify_client_event(SystemEvent::Redelivered, &self.session, data);
        }
    }

    /// Waits until the client has acknowledged what it was sent. Returns false if it takes too long, or
    /// is gone.
    pub(crate) async fn acknowledged(&self) -> bool {
        tokio::time::timeout(ACKNOWLEDGED_WITHIN, self.deliveries().acknowledged()).await.unwrap_or(false)
    }

    /// Ends this socket's turn when the client has acknowledged everything, so that another socket of
    /// the user need not wait until this one closes.
    pub(crate) async fn end_turn(&mut self) {
        if self.has_turn && self.acknowledged().await {
            self.inbox.release(&self.session.project.id, &self.user, self.session.id);
            self.has_turn = false;
        }
    }
}

impl Drop for Redelivery {
    fn drop(&mut self) {
        self.deliveries().end(&self.user, &self.over);
    }
}
