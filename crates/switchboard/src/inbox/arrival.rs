//! A socket comes to its user: what the user has missed is told first, in its order.
//!
//! The outbox is parked meanwhile. What is told in both ways, since it was kept after the socket had
//! come and before the inbox was opened, is dropped from what is parked.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use switchboard_event::{MessageNumber, UserId};
use switchboard_hub::inbox::{Opened, Waiting};
use switchboard_hub::{Hub, Inbox};

use super::{Deliveries, settled};
use crate::app::App;
use crate::codec;
use crate::hooks::SystemEvent;
use crate::socket::Socket;

/// Most messages that are asked for at once.
const PAGE: usize = 100;

/// How long a peer may take to get a page. Then the rest waits for who comes next.
const ARRIVES_WITHIN: Duration = Duration::from_secs(30);

/// How long a socket that has the inbox may take to answer for it, before the next one takes over.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// How often is looked meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// When to look again for what backends put in late.
const LATE_LOOKS: [Duration; 3] = [Duration::from_millis(500); 3];

/// A socket that is about to be told what its user has missed. Its outbox is parked until this is
/// dropped.
pub(crate) struct Arrival {
    socket: Socket,
    inbox: Arc<dyn Inbox>,
    told: HashSet<MessageNumber>,
    count: u64,
}

/// How a socket is received.
#[derive(Default)]
pub(crate) struct Welcome {
    /// A frame that goes before everything.
    pub(crate) first: Option<Bytes>,
    /// The pause between two messages.
    pub(crate) pause: Duration,
}

impl Arrival {
    /// Parks the outbox; none if no message ever waits.
    pub(crate) fn begin(socket: &Socket) -> Option<Self> {
        let inbox = socket.app().inbox()?.clone();
        socket.peer().deliveries().park(socket.app().hub(), socket.session());
        Some(Arrival { socket: socket.clone(), inbox, told: HashSet::new(), count: 0 })
    }

    /// The same as [`tell`](Self::tell), beside what goes on.
    pub(crate) fn go_on(self, user: UserId) {
        let app = self.app().clone();
        app.core().tasks.spawn_service(async move {
            settled(self.app()).await;
            self.tell(user, Welcome::default()).await;
        });
    }

    fn app(&self) -> &App {
        self.socket.app()
    }

    fn hub(&self) -> &Hub {
        self.socket.app().hub()
    }

    fn deliveries(&self) -> &Deliveries {
        self.socket.peer().deliveries()
    }

    /// Tells what waits. What the socket does not get waits on.
    pub(crate) async fn tell(mut self, user: UserId, welcome: Welcome) {
        self.tell_waiting(&user, &welcome).await;
        if self.inbox.has_latecomers() {
            self.look_for_latecomers(user);
        }
    }

    /// The same for a socket that has been one of the user's for some time, and may have missed what it
    /// was to hear live.
    pub(super) async fn tell_again(mut self, user: UserId) {
        // By the time the answer is here it may have arrived, and not be known any more.
        self.told.extend(self.deliveries().on_their_way());
        self.tell_waiting(&user, &Welcome::default()).await;
    }

    async fn tell_waiting(&mut self, user: &UserId, welcome: &Welcome) {
        let mut page = self.open(user, None).await;
        self.greet(user, welcome);
        while let Some(last) = page.last().map(|waiting| waiting.number) {
            let is_last = page.len() < PAGE;
            if !self.tell_page(user, page, welcome.pause).await || is_last {
                break;
            }
            page = self.open(user, Some(last)).await;
        }
        self.socket.tell_redelivered(user, self.count);
    }

    /// Drops what waits.
    pub(crate) async fn forget(self, user: UserId, welcome: Welcome) {
        if let Err(error) = self.inbox.clear(self.app().project_id(), &user).await {
            tracing::warn!(%error, "what waits for a user could not be dropped");
        }
        self.greet(&user, &welcome);
    }

    /// Says what goes before everything: it is the answer to a token.
    fn greet(&self, user: &UserId, welcome: &Welcome) {
        if let Some(first) = &welcome.first {
            self.hub().deliver_now(self.socket.session(), first);
            self.socket.tell_authenticated(user);
        }
    }

    async fn open(&self, user: &UserId, after: Option<MessageNumber>) -> Vec<Waiting> {
        let (project, socket) = (self.app().project_id(), self.socket.id());
        let mut waited = Duration::ZERO;
        while !self.socket.is_closed() {
            match self.inbox.open(project, user, socket, after, PAGE).await {
                Ok(Opened { held_by: None, messages }) => return messages,
                // It is being told at this moment, or cannot be reached any more: a phone that has changed
                // its network leaves its last socket without a word.
                Ok(Opened { held_by: Some(other), .. }) if waited >= ANSWERS_WITHIN => {
                    self.inbox.release(project, user, other);
                    self.inbox.settled().await;
                }
                Ok(_) => {
                    tokio::time::sleep(LOOK_AGAIN).await;
                    waited += LOOK_AGAIN;
                }
                Err(error) => {
                    let error = switchboard_wire::with_causes(&error);
                    tracing::warn!(error, "what waits for a user could not be read; it waits on");
                    break;
                }
            }
        }
        Vec::new()
    }

    /// False if the socket takes no more.
    async fn tell_page(&mut self, user: &UserId, page: Vec<Waiting>, pause: Duration) -> bool {
        let bytes_max = self.app().limits().outbox_bytes_max / 2;
        for Waiting { number, event } in page {
            if self.deliveries().knows(number) || !self.told.insert(number) {
                continue;
            }
            if self.count > 0 && !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            self.count += 1;
            let session = self.socket.session();
            let frame = codec::encode_missed(session.dialect, &event, self.count);
            if session.outbox.queued_bytes() + frame.len() > bytes_max && !self.all_arrived().await {
                return false;
            }
            if !self.deliveries().tell(self.hub(), session, (user.clone(), number), &frame) {
                return false;
            }
        }
        true
    }

    async fn all_arrived(&self) -> bool {
        tokio::time::timeout(ARRIVES_WITHIN, self.deliveries().all_arrived()).await.unwrap_or(false)
    }

    /// Looks again shortly after, since who puts messages in may have looked before the user came.
    fn look_for_latecomers(self, user: UserId) {
        let late = LateLook { socket: self.socket.clone(), inbox: self.inbox.clone(), count: self.count };
        self.app().core().tasks.spawn_service(late.look(user));
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        let Arrival { socket, told, .. } = self;
        let is_told = |number| told.contains(&number);
        socket.peer().deliveries().unpark(socket.app().hub(), socket.session(), is_told);
    }
}

/// A socket that has been told, and may be told of more.
struct LateLook {
    socket: Socket,
    inbox: Arc<dyn Inbox>,
    count: u64,
}

impl LateLook {
    async fn look(mut self, user: UserId) {
        let project = self.socket.app().project_id().clone();
        for pause in LATE_LOOKS {
            tokio::time::sleep(pause).await;
            if self.socket.is_closed() {
                return;
            }
            self.inbox.settled().await;
            match self.inbox.open(&project, &user, self.socket.id(), None, PAGE).await {
                Ok(opened) => self.tell(&user, opened.messages),
                Err(error) => tracing::debug!(%error, "what waits for a user could not be read; it waits on"),
            }
        }
    }

    fn tell(&mut self, user: &UserId, page: Vec<Waiting>) {
        let (session, deliveries) = (self.socket.session(), self.socket.peer().deliveries());
        let before = self.count;
        for Waiting { number, event } in page {
            if !deliveries.knows(number) && !deliveries.holds(number) {
                self.count += 1;
                let frame = codec::encode_missed(session.dialect, &event, self.count);
                deliveries.tell(self.socket.app().hub(), session, (user.clone(), number), &frame);
            }
        }
        self.socket.tell_redelivered(user, self.count - before);
    }
}

impl Socket {
    /// Calls the `@redelivered` hooks, if there was anything.
    fn tell_redelivered(&self, user: &UserId, count: u64) {
        if count > 0 {
            self.tell(SystemEvent::Redelivered, &json!({ "user": user, "count": count }));
        }
    }

    /// The peer has answered a ping.
    pub(crate) fn ponged(&self, payload: &[u8]) {
        let (Some(inbox), Some(deliveries)) = (self.app().inbox(), self.peer().deliveries_if_any()) else {
            return;
        };
        let mut arrived =
            deliveries.answered(self.app().hub(), self.session(), payload).into_iter().peekable();
        while let Some((user, number)) = arrived.next() {
            let mut numbers = vec![number];
            while let Some((_, number)) = arrived.next_if(|(other, _)| *other == user) {
                numbers.push(number);
            }
            inbox.confirm(self.app().project_id(), &user, numbers);
        }
    }

    /// The socket has closed: what it has not got is for others.
    pub(crate) fn give_back(&self) {
        if let (Some(inbox), Some(deliveries)) = (self.app().inbox(), self.peer().deliveries_if_any()) {
            deliveries.hang_up();
            for user in self.session().users() {
                inbox.release(self.app().project_id(), &user, self.id());
            }
        }
    }
}
