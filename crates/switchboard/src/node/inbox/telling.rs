//! Telling a socket what waits for one of its users: one telling at a time for each. Whoever begins later
//! goes on in place of who was at it, and nothing is told any more when the socket is no longer the user's.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use switchboard_backplane::{Inbox, InboxPage, StoreError};
use switchboard_event::{Event, MessageNumber, SocketId, UserId};
use switchboard_hub::Hub;
use tokio_util::sync::CancellationToken;

use super::Deliveries;
use crate::api::app::App;
use crate::api::socket::Socket;
use crate::protocols::encode as codec;
use crate::routing::hooks::SystemEvent;

/// How long a peer may take to get what it was sent. Then the rest waits for who comes next.
const ARRIVES_WITHIN: Duration = Duration::from_secs(30);

/// The right to tell, while nobody else has begun.
pub(super) struct Telling {
    pub(super) socket: Socket,
    pub(super) user: UserId,
    inbox: Arc<dyn Inbox>,
    /// How many were told.
    pub(super) count: u64,
    has_inbox: bool,
    over: CancellationToken,
}

impl Telling {
    /// Begins; a telling of the same to the same socket is over.
    pub(super) fn begin(socket: &Socket, inbox: Arc<dyn Inbox>, user: UserId) -> Self {
        let over = socket.peer().deliveries().begin(&user);
        Telling { socket: socket.clone(), user, inbox, count: 0, has_inbox: false, over }
    }

    pub(super) fn app(&self) -> &App {
        self.socket.app()
    }

    pub(super) fn hub(&self) -> &Hub {
        self.app().hub()
    }

    pub(super) fn deliveries(&self) -> &Deliveries {
        self.socket.peer().deliveries()
    }

    pub(super) fn inbox(&self) -> &dyn Inbox {
        &*self.inbox
    }

    /// Cancelled when the telling is over.
    pub(super) fn over(&self) -> CancellationToken {
        self.over.clone()
    }

    /// Opens the inbox, and has it if something waits and no other socket does.
    pub(super) async fn open(
        &mut self,
        after: Option<MessageNumber>,
        most: usize,
    ) -> Result<InboxPage, StoreError> {
        let (project, id) = (self.app().project_id(), self.socket.id());
        let opened = self.inbox.open(project, &self.user, id, after, most).await;
        self.has_inbox |= opened.as_ref().is_ok_and(|opened| !opened.messages.is_empty());
        opened
    }

    /// Has another socket that has the inbox not have it any more.
    pub(super) async fn take_from(&self, other: SocketId) {
        self.inbox.release(self.app().project_id(), &self.user, other);
        self.inbox.settled().await;
    }

    /// The frame of the next message.
    pub(super) fn frame(&self, event: &Event) -> Bytes {
        codec::encode_missed(self.socket.session().protocol, event, self.count + 1)
    }

    /// Tells the next message. False if the telling is over, or the socket takes no more.
    pub(super) fn tell(&mut self, number: MessageNumber, frame: &Bytes) -> bool {
        let told = (self.user.clone(), number);
        let is_told = self.deliveries().tell(self.hub(), self.socket.session(), told, frame, &self.over);
        self.count += u64::from(is_told);
        is_told
    }

    /// Calls the `@redelivered` hooks, if more than `before` were told.
    pub(super) fn tell_hooks(&self, before: u64) {
        let count = self.count - before;
        if count > 0 {
            self.socket.tell(SystemEvent::Redelivered, &json!({ "user": self.user, "count": count }));
        }
    }

    /// Waits until the peer has what it was sent. False if it takes too long, or is gone.
    pub(super) async fn arrived(&self) -> bool {
        tokio::time::timeout(ARRIVES_WITHIN, self.deliveries().arrived()).await.unwrap_or(false)
    }

    /// Gives the inbox back, if it has it, when the peer has what it was told: another socket need not wait
    /// until nothing is said to the user any more.
    pub(super) async fn give_back(&mut self) {
        if self.has_inbox && self.arrived().await {
            self.inbox.release(self.app().project_id(), &self.user, self.socket.id());
            self.has_inbox = false;
        }
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.deliveries().end(&self.user, &self.over);
    }
}
