//! Receivers whose outbox was full: when the outbox has space again, they are notified of lost messages, and messages of
//! rooms with a history are read for them until they have caught up.
//!
//! One task attends to one receiver, from its first loss until nothing is left to do or its connection has ended.

use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use serde_json::json;
use switchboard_backplane::{HistoryPage, HistoryRange};
use switchboard_event::{Payload, Position};
use switchboard_hub::{Lag, Loss, Session};
use tokio::time::sleep;

use crate::node::Node;
use crate::node::connection_state::is_closed;
use crate::node::history::read;
use crate::node::history_request::is_excluded;

/// An outbox that is full to one part in this many has space again.
const HAS_SPACE: usize = 4;

/// How often the outbox of a receiver is checked: at first, and at last. Each pause is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(160);

/// Messages that are read from a history at a time.
const PAGE_MESSAGES: usize = 256;

/// Attempts to read a history before the messages count as lost, and the pause before the second; each pause is twice as long
/// as the one before.
const ATTEMPTS_MAX: u32 = 8;
const FIRST_RETRY: Duration = Duration::from_millis(100);

/// Attends to receivers until the app stops.
pub(crate) async fn run(node: Arc<Node>) {
    loop {
        for session in node.overflowed.take().await {
            let Some(number) = session.outbox.overflow_number() else { continue };
            let receiver = Receiver { node: node.clone(), session, number };
            node.tasks.spawn_service(receiver.attend());
        }
    }
}

/// The losses of one receiver since its outbox was full.
struct Receiver {
    node: Arc<Node>,
    session: Arc<Session>,
    /// The number by which the outbox identifies these losses.
    number: u64,
}

impl Receiver {
    async fn attend(self) {
        let mut pause = FIRST_PAUSE;
        loop {
            sleep(pause).await;
            if is_closed(&self.session) {
                return;
            }
            let bytes_max = self.node.limits().outbox_bytes_max / HAS_SPACE;
            if !self.session.outbox.has_space(bytes_max) {
                pause = (pause * 2).min(LONGEST_PAUSE);
                continue;
            }
            pause = FIRST_PAUSE;
            self.session.outbox.take_losses(self.number).iter().for_each(|loss| self.notify_loss(loss));
            while let Some(lag) = self.session.outbox.lag(self.number) {
                self.catch_up_in(lag).await;
            }
            if self.session.outbox.finish_overflow(self.number) {
                return;
            }
        }
    }

    fn notify_loss(&self, Loss { room, messages }: &Loss) {
        let data = match room {
            Some(room) => json!({ "room": room, "lost": messages }),
            None => json!({ "lost": messages }),
        };
        self.notify_gap(&data);
    }

    fn notify_gap(&self, data: &serde_json::Value) {
        let data = Payload::of(data).expect("names and numbers are valid JSON");
        self.node.notify_extension(&self.session, "gap", &data);
    }

    /// Sends what the receiver has not got of a room, until the lag has ended.
    async fn catch_up_in(&self, mut lag: Lag) {
        let mut is_complete = true;
        loop {
            is_complete &= self.catch_up(&lag).await;
            match self.session.outbox.lag(self.number) {
                Some(next) if next.room == lag.room => lag = next,
                _ => break,
            }
        }
        let outcome = if is_complete { "complete" } else { "gap" };
        counter!("switchboard_catch_ups_total", "outcome" => outcome).increment(1);
    }

    /// Sends a part. Returns false if messages are gone.
    async fn catch_up(&self, lag: &Lag) -> bool {
        let Some(page) = self.read(lag).await else {
            self.give_up(lag);
            return false;
        };
        let after = Position { epoch: page.epoch, offset: page.first - 1 };
        if !page.continues(lag.after) {
            let offsets = (lag.after.epoch == page.epoch).then(|| (lag.after.offset + 1, after.offset));
            if self.lose(lag, offsets) {
                self.session.outbox.continue_lag(self.number, &lag.room, after);
            }
            return false;
        }
        let is_last = page.messages.len() < PAGE_MESSAGES;
        if self.deliver(lag, page).await && is_last {
            self.session.outbox.end_lag(self.number, lag);
        }
        true
    }

    async fn read(&self, lag: &Lag) -> Option<HistoryPage> {
        let mut pause = FIRST_RETRY;
        for _ in 0..ATTEMPTS_MAX {
            let (range, project) = (HistoryRange::After(lag.after.offset), &self.session.project.id);
            match read(&self.node, project, &lag.room, range, PAGE_MESSAGES).await {
                Ok(page) => return Some(page),
                Err(_) => sleep(pause).await,
            }
            pause *= 2;
        }
        None
    }

    /// Delivers messages as the outbox has space. Returns false if the lag has ended.
    async fn deliver(&self, lag: &Lag, page: HistoryPage) -> bool {
        for message in &page.messages {
            let position = Position { epoch: page.epoch, offset: message.offset };
            let encode = self.node.encoders().event;
            let at = self.session.wants_positions.then_some((&lag.room, position));
            let frame = match is_excluded(&self.session, &message.except) {
                true => None,
                false => encode(self.session.protocol, &message.event, at),
            };
            loop {
                let (hub, number) = (self.node.hub(), self.number);
                match hub.catch_up(&self.session, number, &lag.room, position, frame.as_ref()) {
                    Some(true) => {
                        frame.iter().for_each(|frame| hub.watch(&self.session, &message.event, frame));
                        break;
                    }
                    Some(false) if is_closed(&self.session) => return false,
                    Some(false) => sleep(FIRST_PAUSE).await,
                    None => return false,
                }
            }
        }
        true
    }

    /// The history cannot be read: what follows is delivered live.
    fn give_up(&self, lag: &Lag) {
        if self.lose(lag, None) {
            self.session.outbox.continue_lag(self.number, &lag.room, lag.skipped);
            self.session.outbox.end_lag(self.number, lag);
        }
    }

    /// Messages are gone. Sends `@gap` to the receiver, or closes it if it does not understand that. Returns false if it was closed.
    fn lose(&self, lag: &Lag, offsets: Option<(u64, u64)>) -> bool {
        if !self.session.wants_positions {
            self.node.hub().close_overflowed(&self.session);
            self.session.outbox.forget_lag(&lag.room);
            return false;
        }
        self.notify_gap(&match offsets {
            Some((from, to)) => json!({ "room": lag.room, "from": from, "to": to }),
            None => json!({ "room": lag.room }),
        });
        true
    }
}
