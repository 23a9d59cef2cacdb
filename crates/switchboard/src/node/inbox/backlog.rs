//! Redelivers the stored messages of a user to one socket, in order, before live messages.

use std::time::Duration;

use switchboard_backplane::{InboxPage, StoredMessage};
use switchboard_event::{MessageNumber, UserId};

use crate::node::connection_state::is_closed;
use crate::node::inbox::deliveries::PAGE_MAX;
use crate::node::inbox::holder::{HolderWatch, POLL_INTERVAL};
use crate::node::inbox::paused::PausedOutbox;
use crate::node::inbox::redelivery::Redelivery;
use crate::node::inbox::reread;

/// A user's stored messages, to be redelivered to one socket. The socket's outbox is paused until then.
pub(crate) struct Backlog {
    paused: PausedOutbox,
    redelivery: Redelivery,
    /// Pause between two messages.
    interval: Duration,
    /// The first page, if it has been read.
    first_page: Option<Vec<StoredMessage>>,
    /// A page could not be read, so there may be more messages.
    is_incomplete: bool,
}

impl Backlog {
    /// Ends an earlier redelivery of the same user to the same socket.
    pub(crate) fn new(mut paused: PausedOutbox, user: UserId) -> Self {
        let redelivery = Redelivery::begin(&paused.node, &paused.session, paused.inbox.clone(), user);
        // Noted now, because they may be acknowledged, and no longer in flight, when the inbox is read.
        paused.redelivered.extend(redelivery.deliveries().in_flight());
        let interval = paused.node.redelivery_interval(paused.session.protocol);
        Backlog { paused, redelivery, interval, first_page: None, is_incomplete: false }
    }

    /// Reads the first page. Messages stored afterwards are live, unless another socket holds the inbox.
    pub(crate) async fn peek(&mut self) {
        if let Ok(InboxPage { held_by: None, messages, .. }) = self.redelivery.open(None, PAGE_MAX).await {
            self.first_page = Some(messages);
        }
    }

    /// Deletes the stored messages.
    pub(crate) async fn discard(&self) {
        self.redelivery.clear().await;
    }

    /// Redelivers in a separate task. Messages that the client does not acknowledge stay stored.
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

    /// Redelivers to a socket that has been logged in for some time and may have missed live messages.
    /// Returns when all messages are sent. There are no pauses between messages, because many sockets are
    /// redelivered to after a gap.
    pub(crate) async fn redeliver_now(mut self) {
        self.interval = Duration::ZERO;
        self.redeliver().await;
        let (tasks, mut redelivery) = (self.paused.node.tasks.clone(), self.redelivery);
        tasks.spawn_service(async move {
            redelivery.cancelled().run_until_cancelled(redelivery.release()).await;
        });
    }

    async fn redeliver(&mut self) {
        let cancelled = self.redelivery.cancelled();
        cancelled.run_until_cancelled(self.send_pages()).await;
        self.redelivery.notify_hooks(0);
    }

    async fn send_pages(&mut self) {
        let mut page = match self.first_page.take() {
            Some(page) => page,
            None => self.read_page(None).await,
        };
        while let Some(last) = page.last().map(|message| message.number) {
            let is_last = page.len() < PAGE_MAX;
            if !self.send_page(page).await || is_last {
                break;
            }
            page = self.read_page(Some(last)).await;
        }
    }

    /// Reads the next page, after waiting until no other socket holds the inbox.
    async fn read_page(&mut self, after: Option<MessageNumber>) -> Vec<StoredMessage> {
        let interval_max = self.paused.node.redelivery_interval_max();
        let mut watch: Option<HolderWatch> = None;
        while !is_closed(&self.redelivery.session) {
            // While another socket holds the inbox, only the oldest message is needed.
            let (from, max) = if watch.is_some() { (None, 1) } else { (after, PAGE_MAX) };
            match self.redelivery.open(from, max).await {
                Ok(InboxPage { held_by: Some(other), oldest, .. }) => {
                    if watch.get_or_insert_default().is_stalled(other, oldest, interval_max) {
                        self.redelivery.take_over_from(other).await;
                    } else {
                        tokio::time::sleep(POLL_INTERVAL).await;
                    }
                }
                Ok(_) if watch.is_some() => watch = None,
                Ok(page) => return page.messages,
                Err(error) => {
                    self.redelivery
                        .log_failure(&error, "cannot read a user's inbox; its messages stay stored");
                    self.is_incomplete = true;
                    break;
                }
            }
        }
        Vec::new()
    }

    /// Sends a page. Returns false if the socket accepts no more messages.
    async fn send_page(&mut self, page: Vec<StoredMessage>) -> bool {
        for StoredMessage { number, event } in page {
            if self.paused.redelivered.contains(&number) || self.redelivery.deliveries().is_in_flight(number)
            {
                continue;
            }
            if self.redelivery.count > 0 && !self.interval.is_zero() {
                tokio::time::sleep(self.interval).await;
            }
            let Some(frame) = self.redelivery.frame(&event) else { continue };
            if !self.redelivery.send(number, &event, &frame).await {
                return false;
            }
            self.paused.redelivered.insert(number);
        }
        true
    }
}

/// Releases the inbox after the socket's backlog is sent. If messages may be missing, the inbox is read again;
/// the outbox is no longer paused then.
async fn finish(mut redelivery: Redelivery, is_incomplete: bool) {
    let finish = async |redelivery: &mut Redelivery| {
        redelivery.release().await;
        if is_incomplete || redelivery.inbox().has_late_writers() {
            reread::reread(redelivery).await;
        }
    };
    redelivery.cancelled().run_until_cancelled(finish(&mut redelivery)).await;
}
