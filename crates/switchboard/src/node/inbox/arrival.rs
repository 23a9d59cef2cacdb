//! A socket comes to its user: what the user has missed is told first, in its order.
//!
//! The outbox is paused meanwhile. What is told in both ways, since it was kept after the socket had
//! come and before the inbox was opened, is dropped from what is paused.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use switchboard_backplane::{Inbox, InboxPage, StoredMessage};
use switchboard_event::{MessageNumber, Protocol, UserId};

use super::holder::{Holder, LOOK_AGAIN};
use super::telling::Telling;
use super::{PAGE, late, settled};
use crate::api::app::App;
use crate::api::socket::Socket;

/// A socket that may come to a user. Its outbox is paused until this is dropped.
pub(crate) struct Arrival {
    socket: Socket,
    inbox: Arc<dyn Inbox>,
    told: HashSet<MessageNumber>,
}

impl Arrival {
    /// Parks the outbox; none if no message ever waits.
    pub(crate) fn begin(socket: &Socket) -> Option<Self> {
        let inbox = socket.app().inbox()?.clone();
        socket.peer().deliveries().pause(socket.app().hub(), socket.session());
        Some(Arrival { socket: socket.clone(), inbox, told: HashSet::new() })
    }

    /// It has come to this user. If it was being told what waits for the same, that goes no further.
    pub(crate) fn of(mut self, user: UserId) -> Redelivery {
        let telling = Telling::begin(&self.socket, self.inbox.clone(), user);
        // By the time the inbox is read it may have arrived, and not be known any more.
        self.told.extend(telling.deliveries().on_their_way());
        let pause = match self.socket.session().protocol {
            Protocol::Mesa => redelivery_interval(self.socket.app()),
            Protocol::Emit | Protocol::Koji => Duration::ZERO,
        };
        Redelivery { arrival: self, telling, pause, front: None, is_unsure: false }
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        let Arrival { socket, told, .. } = self;
        let is_told = |number| told.contains(&number);
        socket.peer().deliveries().resume(socket.app().hub(), socket.session(), is_told);
    }
}

/// A socket that has come, and is about to be told.
pub(crate) struct Redelivery {
    arrival: Arrival,
    telling: Telling,
    /// How long to wait between two messages.
    pause: Duration,
    /// The first page, if it was looked at.
    front: Option<Vec<StoredMessage>>,
    /// It could not be read: there may be more.
    is_unsure: bool,
}

impl Redelivery {
    fn app(&self) -> &App {
        self.telling.app()
    }

    /// Looks at what waits. What is kept from then on is live, unless another socket has the inbox.
    pub(crate) async fn look(&mut self) {
        if let Ok(InboxPage { held_by: None, messages, .. }) = self.telling.open(None, PAGE).await {
            self.front = Some(messages);
        }
    }

    /// Drops what waits.
    pub(crate) async fn forget(&self) {
        let cleared = self.telling.inbox().clear(self.app().project_id(), &self.telling.user).await;
        if let Err(error) = cleared {
            tracing::warn!(%error, "what waits for a user could not be dropped");
        }
    }

    /// Tells what waits, beside what goes on. What the socket does not get waits on.
    pub(crate) fn go_on(mut self) {
        let nothing_waits = self.front.as_ref().is_some_and(Vec::is_empty);
        if nothing_waits && !self.telling.inbox().has_late_writers() {
            return;
        }
        let tasks = self.app().core().tasks.clone();
        tasks.spawn_service(async move {
            if self.front.is_none() {
                settled(self.app()).await;
            }
            self.tell().await;
            let Redelivery { arrival, telling, is_unsure, .. } = self;
            drop(arrival);
            stay(telling, is_unsure).await;
        });
    }

    /// The same for a socket that has been one of the user's for some time, and may have missed what it
    /// was to hear live. Without pauses, since others wait for their turn; returns when it is told.
    pub(super) async fn tell_again(mut self) {
        self.pause = Duration::ZERO;
        self.tell().await;
        let (tasks, mut telling) = (self.app().core().tasks.clone(), self.telling);
        tasks.spawn_service(async move {
            telling.over().run_until_cancelled(telling.give_back()).await;
        });
    }

    async fn tell(&mut self) {
        let over = self.telling.over();
        over.run_until_cancelled(self.tell_pages()).await;
        self.telling.tell_hooks(0);
    }

    async fn tell_pages(&mut self) {
        let mut page = match self.front.take() {
            Some(front) => front,
            None => self.open(None).await,
        };
        while let Some(last) = page.last().map(|waiting| waiting.number) {
            let is_last = page.len() < PAGE;
            if !self.tell_page(page).await || is_last {
                break;
            }
            page = self.open(Some(last)).await;
        }
    }

    /// The next page, once no other socket has the inbox.
    async fn open(&mut self, after: Option<MessageNumber>) -> Vec<StoredMessage> {
        let mut holder: Option<Holder> = None;
        while !self.telling.socket.is_closed() {
            // While another one has it, only whether that one answers is of interest.
            let (from, most) = if holder.is_some() { (None, 1) } else { (after, PAGE) };
            match self.telling.open(from, most).await {
                Ok(InboxPage { held_by: Some(other), oldest, .. }) => {
                    let seen = holder.get_or_insert_default();
                    if seen.is_mute(other, oldest, redelivery_interval(self.app())) {
                        self.telling.take_from(other).await;
                    } else {
                        tokio::time::sleep(LOOK_AGAIN).await;
                    }
                }
                Ok(_) if holder.is_some() => holder = None,
                Ok(opened) => return opened.messages,
                Err(error) => {
                    let error = switchboard_wire::with_causes(&error);
                    tracing::warn!(error, "what waits for a user could not be read; it waits on");
                    self.is_unsure = true;
                    break;
                }
            }
        }
        Vec::new()
    }

    /// False if the socket takes no more.
    async fn tell_page(&mut self, page: Vec<StoredMessage>) -> bool {
        let bytes_max = self.app().limits().outbox_bytes_max / 2;
        for StoredMessage { number, event } in page {
            if self.arrival.told.contains(&number) || self.telling.deliveries().knows(number) {
                continue;
            }
            if self.telling.count > 0 && !self.pause.is_zero() {
                tokio::time::sleep(self.pause).await;
            }
            let frame = self.telling.frame(&event);
            let queued = self.telling.socket.session().outbox.queued_bytes();
            if queued + frame.len() > bytes_max && !self.telling.arrived().await {
                return false;
            }
            if !self.telling.tell(number, &frame) {
                return false;
            }
            self.arrival.told.insert(number);
        }
        true
    }
}

/// What remains to be done for a socket that was told. What could not be read is looked at again shortly after, when
/// live messages no longer wait for it.
async fn stay(mut telling: Telling, is_unsure: bool) {
    let rest = async |telling: &mut Telling| {
        telling.give_back().await;
        if is_unsure || telling.inbox().has_late_writers() {
            late::look_again(telling).await;
        }
    };
    telling.over().run_until_cancelled(rest(&mut telling)).await;
}

/// The pause that sockets of the Mesa door get between two messages.
fn redelivery_interval(app: &App) -> Duration {
    app.setup().mesa.as_ref().map_or(Duration::ZERO, |mesa| mesa.settings.redelivery_interval)
}

impl Socket {
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
            inbox.acknowledge(self.app().project_id(), &user, numbers);
        }
        deliveries.wake();
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
