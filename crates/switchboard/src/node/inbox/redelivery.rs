//! One redelivery of a user's inbox to a socket.
//!
//! A new redelivery for the same user and socket cancels the earlier one, and so does a logout. A cancelled
//! redelivery sends nothing more.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use switchboard_backplane::{BackplaneError, Inbox, InboxPage};
use switchboard_event::{Event, MessageNumber, Payload, SocketId, UserId};
use switchboard_hub::Session;
use switchboard_log::{limited, printable_error};
use tokio_util::sync::CancellationToken;

use crate::node::Node;
use crate::node::connection_state::ConnectionState;
use crate::node::inbox::deliveries::Deliveries;
use crate::node::system_events::SystemEvent;
use crate::node::trace::points::from_inbox;

/// How long to wait for an acknowledgement. Without one, the remaining messages stay stored.
const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(30);

/// A running redelivery.
pub(crate) struct Redelivery {
    pub(crate) node: Arc<Node>,
    pub(crate) session: Arc<Session>,
    pub(crate) user: UserId,
    inbox: Arc<dyn Inbox>,
    /// Number of messages sent.
    pub(crate) count: u64,
    /// The socket holds the inbox, so other sockets of the user wait.
    is_holder: bool,
    cancelled: CancellationToken,
}

impl Redelivery {
    /// Starts, and cancels an earlier redelivery of the same user to the same socket.
    pub(crate) fn begin(
        node: &Arc<Node>,
        session: &Arc<Session>,
        inbox: Arc<dyn Inbox>,
        user: UserId,
    ) -> Self {
        let cancelled = ConnectionState::of(session).deliveries().begin(&user);
        let (node, session) = (node.clone(), session.clone());
        Redelivery { node, session, user, inbox, count: 0, is_holder: false, cancelled }
    }

    pub(crate) fn deliveries(&self) -> &Deliveries {
        ConnectionState::of(&self.session).deliveries()
    }

    pub(crate) fn inbox(&self) -> &dyn Inbox {
        &*self.inbox
    }

    /// A token that is cancelled when the redelivery must end.
    pub(crate) fn cancelled(&self) -> CancellationToken {
        self.cancelled.clone()
    }

    /// Reads at most `max` messages after `after`. If there are any and no other socket holds the inbox, this
    /// socket holds it afterwards.
    pub(crate) async fn open(
        &mut self,
        after: Option<MessageNumber>,
        max: usize,
    ) -> Result<InboxPage, BackplaneError> {
        let project = &self.session.project.id;
        let page = self.inbox.open(project, &self.user, self.session.id, after, max).await;
        self.is_holder |= page.as_ref().is_ok_and(|page| !page.messages.is_empty());
        page
    }

    /// Deletes the stored messages.
    pub(crate) async fn clear(&self) {
        if let Err(error) = self.inbox.clear(&self.session.project.id, &self.user).await {
            self.log_failure(&error, "cannot clear a user's inbox; its messages stay stored");
        }
    }

    /// Logs an error of the inbox. While the inbox is down, every login fails; the inbox has logged the outage, so these errors are
    /// logged at `debug` only.
    pub(crate) fn log_failure(&self, error: &BackplaneError, consequence: &'static str) {
        if self.inbox.is_up() {
            limited!(WARN, error = printable_error(error), consequence, "inbox of a user failed");
        } else {
            limited!(DEBUG, error = printable_error(error), consequence, "inbox of a user failed");
        }
    }

    /// Releases the inbox in place of another socket.
    pub(crate) async fn take_over_from(&self, other: SocketId) {
        self.inbox.release(&self.session.project.id, &self.user, other);
        self.inbox.settled().await;
    }

    /// Encodes the next message. `None` if the socket's protocol reserves its name; the message stays stored for
    /// sockets of other protocols.
    pub(crate) fn frame(&self, event: &Event) -> Option<Bytes> {
        (self.node.encoders().stored)(self.session.protocol, event, self.count + 1)
    }

    /// Sends the next message. If it would fill more than half of the outbox, the client first has to acknowledge
    /// the earlier ones. Returns false if the redelivery is cancelled or the socket accepts no more.
    pub(crate) async fn send(&mut self, number: MessageNumber, event: &Event, frame: &Bytes) -> bool {
        let bytes_max = self.node.limits().outbox_bytes_max / 2;
        let is_full = self.session.outbox.queued_bytes() + frame.len() > bytes_max;
        if is_full && !self.wait_acknowledged().await {
            return false;
        }
        let message = (self.user.clone(), number);
        let hub = self.node.hub();
        let is_sent = self.deliveries().redeliver(hub, &self.session, message, frame, &self.cancelled);
        self.count += u64::from(is_sent);
        if is_sent {
            from_inbox(&self.node, &self.session, event, number, frame, true);
        }
        is_sent
    }

    /// Calls the `@redelivered` hooks, if more than `sent_before` messages were sent.
    pub(crate) fn notify_hooks(&self, sent_before: u64) {
        let count = self.count - sent_before;
        if count > 0
            && let Some(hooks) = self.node.hooks(SystemEvent::Redelivered)
        {
            let data = json!({ "user": self.user, "count": count });
            let data = Payload::of(&data).expect("strings and numbers serialize as JSON");
            hooks.notify_client_event(SystemEvent::Redelivered, &self.session, data);
        }
    }

    /// Waits until the client has acknowledged every message sent so far. Returns false after a time-out of
    /// 30 s, or if the socket closes first.
    pub(crate) async fn wait_acknowledged(&self) -> bool {
        tokio::time::timeout(ACKNOWLEDGE_TIMEOUT, self.deliveries().wait_acknowledged())
            .await
            .unwrap_or(false)
    }

    /// Releases the inbox once the client has acknowledged everything, so that other sockets of the user do not wait
    /// until this one closes.
    pub(crate) async fn release(&mut self) {
        if self.is_holder && self.wait_acknowledged().await {
            self.inbox.release(&self.session.project.id, &self.user, self.session.id);
            self.is_holder = false;
        }
    }
}

impl Drop for Redelivery {
    fn drop(&mut self) {
        // When a socket closes, it releases its inboxes. A read that was under way then may have given it this one afterwards.
        if self.is_holder && self.deliveries().is_closed() {
            self.inbox.release(&self.session.project.id, &self.user, self.session.id);
        }
        self.deliveries().end(&self.user, &self.cancelled);
    }
}
