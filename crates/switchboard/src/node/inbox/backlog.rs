//! The stored messages of a user who has just logged in, and their redelivery in order.

use std::time::Duration;

use switchboard_backplane::{InboxPage, StoredMessage};
use switchboard_event::{MessageNumber, UserId};

use crate::node::conn::is_closed;
use crate::node::inbox::deliveries::PAGE;
use crate::node::inbox::paused::PausedOutbox;
use crate::node::inbox::redelivery::Redelivery;
use crate::node::inbox::reread;
use crate::node::inbox::turn::{Holder, LOOK_AGAIN};

/// The backlog of a user, about to be redelivered to one socket. Its outbox is paused meanwhile.
pub(crate) struct Backlog {
    paused: PausedOutbox,
    redelivery: Redelivery,
    /// The pause between two messages.
    interval: Duration,
    /// The first page, if it was read.
    first_page: Option<Vec<StoredMessage>>,
    /// A page could not be read: there may be more.
    is_incomplete: bool,
}

impl Backlog {
    /// A redelivery for the same user and socket ends.
    pub(crate) fn new(mut paused: PausedOutbox, user: UserId) -> Self {
        let redelivery = Redelivery::begin(&paused.node, &paused.session, paused.inbox.clone(), user);
        // By the time the inbox is read these may be acknowledged, and no longer known.
        paused.redelivered.extend(redelivery.deliveries().in_flight());
        let interval = paused.node.redelivery_interval(paused.session.protocol);
        Backlog { paused, redelivery, interval, first_page: None, is_incomplete: false }
    }

    /// Reads the first page. Messages stored after this are live, unless another socket has the turn.
    pub(crate) async fn peek(&mut self) {
        if let Ok(InboxPage { held_by: None, messages, .. }) = self.redelivery.open(None, PAGE).await {
            self.first_page = Some(messages);
        }
    }

    /// Drops the stored messages.
    pub(crate) async fn discard(&self) {
        self.redelivery.clear().await;
    }

    /// Redelivers in a task of its own. Messages that the client does not acknowledge stay stored.
    pub(crate) fn start(mut self) {
        let is_empty = self.first_page.as_ref().is_some_and(Vec::is_empty);
        if is_empty && !self.redelivery.inbox().has_late_writers() {
            return;
        }
        let tasks = self.paused.node.tasks.clone();
        tasks.spawn_service(async move {
            if self.first_page.is_none() {
                self.paused.node.settled().await;
            }
            self.redeliver().await;
            let Backlog { paused, redelivery, is_incomplete, .. } = self;
            drop(paused);
            finish(redelivery, is_incomplete).await;
        });
    }

    /// The same for a socket that has been the user's for some time and may have missed live messages.
    /// Without pauses, since other sockets wait for their turn; returns when all is sent.
    pub(crate) async fn redeliver_now(mut self) {
        self.interval = Duration::ZERO;
        self.redeliver().await;
        let (tasks, mut redelivery) = (self.paused.node.tasks.clone(), self.redelivery);
        tasks.spawn_service(async move {
            redelivery.over().run_until_cancelled(redelivery.end_turn()).await;
        });
    }

    async fn redeliver(&mut self) {
        let over = self.redelivery.over();
        over.run_until_cancelled(self.send_pages()).await;
        self.redelivery.notify_hooks(0);
    }

    async fn send_pages(&mut self) {
        let mut page = match self.first_page.take() {
            Some(page) => page,
            None => self.read_page(None).await,
        };
        while let Some(last) = page.last().map(|waiting| waiting.number) {
            let is_last = page.len() < PAGE;
            if !self.send_page(page).await || is_last {
                break;
            }
            page = self.read_page(Some(last)).await;
        }
    }

    /// Reads the next page, once no other socket has the turn.
    async fn read_page(&mut self, after: Option<MessageNumber>) -> Vec<StoredMessage> {
        let patience = self.paused.node.redelivery_interval_max();
        let mut holder: Option<Holder> = None;
        while !is_closed(&self.redelivery.session) {
            // While another socket has the turn, only its progress matters.
            let (from, most) = if holder.is_some() { (None, 1) } else { (after, PAGE) };
            match self.redelivery.open(from, most).await {
                Ok(InboxPage { held_by: Some(other), oldest, .. }) => {
                    let seen = holder.get_or_insert_default();
                    if seen.is_stalled(other, oldest, patience) {
                        self.redelivery.take_turn_from(other).await;
                    } else {
                        tokio::time::sleep(LOOK_AGAIN).await;
                    }
                }
                Ok(_) if holder.is_some() => holder = None,
                Ok(opened) => return opened.messages,
                Err(error) => {
                    let error = switchboard_wire::with_causes(&error);
                    tracing::warn!(error, "cannot read the inbox of a user; its messages stay stored");
                    self.is_incomplete = true;
                    break;
                }
            }
        }
        Vec::new()
    }

    /// Returns false if the socket takes no more.
    async fn send_page(&mut self, page: Vec<StoredMessage>) -> bool {
        let bytes_max = self.paused.node.limits().outbox_bytes_max / 2;
        for StoredMessage { number, event } in page {
            if self.paused.redelivered.contains(&number) || self.redelivery.deliveries().is_in_flight(number)
            {
                continue;
            }
            if self.redelivery.count > 0 && !self.interval.is_zero() {
                tokio::time::sleep(self.interval).await;
            }
            let frame = self.redelivery.frame(&event);
            let queued = self.redelivery.session.outbox.queued_bytes();
            if queued + frame.len() > bytes_max && !self.redelivery.acknowledged().await {
                return false;
            }
            if !self.redelivery.send(number, &frame) {
                return false;
            }
            self.paused.redelivered.insert(number);
        }
        true
    }
}

/// Ends the turn of a socket that has got its backlog. If a page could not be read, the inbox is read
/// again shortly after, when live messages no longer wait for it.
async fn finish(mut redelivery: Redelivery, is_incomplete: bool) {
    let rest = async |redelivery: &mut Redelivery| {
        redelivery.end_turn().await;
        if is_incomplete || redelivery.inbox().has_late_writers() {
            reread::read_again(redelivery).await;
        }
    };
    redelivery.over().run_until_cancelled(rest(&mut redelivery)).await;
}
