//! The messages of an inbox that a socket was sent, until it acknowledges them.
//!
//! A ping follows the messages. Frames arrive in order, so its pong acknowledges every message before
//! it. One ping is in flight at a time; messages that are sent meanwhile are covered by the next.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use switchboard_event::{MessageNumber, UserId};
use switchboard_hub::{Hub, Session};
use switchboard_ws::frame::{OpCode, encode};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The beginning of a ping's payload; the ping's number follows.
const PING_HEAD: &[u8; 4] = b"kept";

/// Most unacknowledged messages of one socket. Those beyond stay stored and are redelivered at the
/// next login.
const SENT_MAX: usize = 10_000;

/// Most messages that one read of an inbox returns.
pub(crate) const PAGE: usize = 100;

/// Redelivered messages that are remembered, to drop the live copy: a message that was stored just
/// before the inbox was read may arrive through the bus a little later.
const REDELIVERED_KNOWN: usize = PAGE;

/// The messages that one socket was sent.
#[derive(Default)]
pub(crate) struct Deliveries {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// Sent and not acknowledged, in order.
    sent: VecDeque<Sent>,
    /// Held back by the paused outbox.
    held: Vec<Sent>,
    /// Redeliveries for which the outbox is paused.
    pauses: usize,
    /// The ping in flight, and how many of `sent` it covers.
    ping_in_flight: Option<(u64, usize)>,
    pings: u64,
    /// For each user whose inbox is being redelivered: cancelled when that ends.
    redeliveries: Vec<(UserId, CancellationToken)>,
    /// The last live message: it may arrive once for each of the socket's users.
    last: Option<MessageNumber>,
    /// The last redelivered messages.
    redelivered: VecDeque<MessageNumber>,
    gone: bool,
}

/// A message of a user.
type Sent = (UserId, MessageNumber);

impl Deliveries {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code that holds the deliveries panics")
    }

    /// Sends a message that has just been stored.
    pub(crate) fn deliver_live(
        &self,
        hub: &Hub,
        session: &Arc<Session>,
        user: &UserId,
        number: MessageNumber,
        frame: &Bytes,
    ) {
        let mut state = self.lock();
        let is_new = state.last.replace(number) != Some(number) && !state.redelivered.contains(&number);
        if is_new && !hub.deliver_stored(session, frame, number) {
            return;
        }
        if state.pauses > 0 {
            state.held.push((user.clone(), number));
        } else {
            state.note((user.clone(), number));
            state.ping(hub, session);
        }
    }

    /// Begins a redelivery for a user, in place of one that runs.
    pub(crate) fn begin(&self, user: &UserId) -> CancellationToken {
        let mut state = self.lock();
        state.stop(user);
        let over = CancellationToken::new();
        if state.gone {
            over.cancel();
        } else {
            state.redeliveries.push((user.clone(), over.clone()));
        }
        over
    }

    /// Ends the redelivery for a user.
    pub(crate) fn stop(&self, user: &UserId) {
        self.lock().stop(user);
    }

    /// Ends the redelivery that began with `over`.
    pub(crate) fn end(&self, user: &UserId, over: &CancellationToken) {
        let mut state = self.lock();
        // If it is cancelled, another one may have begun.
        if !over.is_cancelled() {
            state.stop(user);
        }
    }

    /// Sends a stored message, before the live ones that the paused outbox holds back. Returns false if
    /// the redelivery is `over` or the socket takes no more.
    pub(crate) fn redeliver(
        &self,
        hub: &Hub,
        session: &Arc<Session>,
        message: Sent,
        frame: &Bytes,
        over: &CancellationToken,
    ) -> bool {
        let mut state = self.lock();
        if over.is_cancelled() || !hub.deliver_ahead(session, frame) {
            return false;
        }
        if state.redelivered.len() == REDELIVERED_KNOWN {
            state.redelivered.pop_front();
        }
        state.redelivered.push_back(message.1);
        state.note(message);
        state.ping(hub, session);
        true
    }

    /// Whether a message is sent and not acknowledged.
    pub(crate) fn is_in_flight(&self, number: MessageNumber) -> bool {
        self.lock().sent.iter().any(|(_, known)| *known == number)
    }

    /// Whether the paused outbox holds a message back.
    pub(crate) fn holds(&self, number: MessageNumber) -> bool {
        self.lock().held.iter().any(|(_, held)| *held == number)
    }

    /// The messages that are sent and not acknowledged.
    pub(crate) fn in_flight(&self) -> Vec<MessageNumber> {
        self.lock().sent.iter().map(|(_, number)| *number).collect()
    }

    /// Pauses the outbox.
    pub(crate) fn pause(&self, hub: &Hub, session: &Arc<Session>) {
        let mut state = self.lock();
        state.pauses += 1;
        hub.pause(session);
    }

    /// Resumes the outbox, without the messages that were redelivered.
    pub(crate) fn resume(
        &self,
        hub: &Hub,
        session: &Arc<Session>,
        was_redelivered: impl Fn(MessageNumber) -> bool,
    ) {
        let mut state = self.lock();
        state.pauses -= 1;
        state.held.retain(|(_, number)| !was_redelivered(*number));
        hub.resume(session, was_redelivered);
        if state.pauses == 0 {
            std::mem::take(&mut state.held).into_iter().for_each(|message| state.note(message));
            state.ping(hub, session);
        }
    }

    /// The messages that a pong acknowledges; none if it answers no ping of ours.
    pub(crate) fn acknowledged_by(&self, hub: &Hub, session: &Arc<Session>, payload: &[u8]) -> Vec<Sent> {
        let number = payload.strip_prefix(PING_HEAD).and_then(|number| number.try_into().ok());
        let number = number.map(u64::from_be_bytes);
        let mut state = self.lock();
        let Some((_, count)) = state.ping_in_flight.filter(|(ping, _)| Some(*ping) == number) else {
            return Vec::new();
        };
        state.ping_in_flight = None;
        let acknowledged = state.sent.drain(..count).collect();
        state.ping(hub, session);
        acknowledged
    }

    /// Waits until every message sent by now is acknowledged. Returns false if the socket is gone.
    pub(crate) async fn acknowledged(&self) -> bool {
        let last = self.lock().sent.back().map(|(_, number)| *number);
        loop {
            let changed = self.changed.notified();
            if self.lock().gone {
                return false;
            }
            if !last.is_some_and(|last| self.is_in_flight(last)) {
                return true;
            }
            changed.await;
        }
    }

    /// Wakes those who wait for acknowledgements.
    pub(crate) fn wake(&self) {
        self.changed.notify_waiters();
    }

    /// Ends all redeliveries of a socket that has closed.
    pub(crate) fn hang_up(&self) {
        let mut state = self.lock();
        state.gone = true;
        state.redeliveries.drain(..).for_each(|(_, over)| over.cancel());
        drop(state);
        self.wake();
    }
}

impl State {
    fn stop(&mut self, user: &UserId) {
        self.redeliveries.extract_if(.., |(of, _)| of == user).for_each(|(_, over)| over.cancel());
    }

    fn note(&mut self, message: Sent) {
        if self.sent.len() < SENT_MAX {
            self.sent.push_back(message);
        }
    }

    /// Sends a ping behind what was sent, unless one is on its way.
    fn ping(&mut self, hub: &Hub, session: &Arc<Session>) {
        if self.ping_in_flight.is_some() || self.sent.is_empty() {
            return;
        }
        self.pings += 1;
        let mut payload = PING_HEAD.to_vec();
        payload.extend_from_slice(&self.pings.to_be_bytes());
        // Whatever is queued before it: without a pong the same messages would be redelivered at each login.
        if hub.deliver_unbounded(session, &encode(OpCode::Ping, &payload)) {
            self.ping_in_flight = Some((self.pings, self.sent.len()));
        }
    }
}
