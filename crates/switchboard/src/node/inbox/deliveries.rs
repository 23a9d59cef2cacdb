//! Inbox messages that are sent to a socket and not acknowledged yet.
//!
//! A WebSocket ping is sent after the messages. Frames arrive in order, so its pong acknowledges every
//! message before the ping. One ping is in flight at a time; messages that are sent after it are
//! covered by the next ping.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use switchboard_event::{MessageNumber, UserId};
use switchboard_hub::{Hub, Session};
use switchboard_ws::frame::{OpCode, encode};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Prefix of the payload of pings that acknowledge messages; the number of the ping follows. Heartbeats have other
/// payloads.
const PING_PREFIX: &[u8; 4] = b"kept";

/// Maximum number of unacknowledged messages of one socket. Further messages are sent, but their acknowledgements are
/// not tracked, so they stay stored and are redelivered at the next login.
const UNACKNOWLEDGED_MAX: usize = 10_000;

/// Maximum number of messages that one read of an inbox returns.
pub(crate) const PAGE_MAX: usize = 100;

/// Number of redelivered messages that are remembered to drop their live copies: the bus may deliver a
/// message that was stored just before the inbox was read.
const REDELIVERED_MAX: usize = PAGE_MAX;

/// The inbox messages of one socket.
#[derive(Default)]
pub(crate) struct Deliveries {
    state: Mutex<State>,
    acknowledged: Notify,
}

#[derive(Default)]
struct State {
    /// Sent and not acknowledged, in order.
    unacknowledged: VecDeque<UserMessage>,
    /// Live messages in the paused outbox.
    paused: Vec<UserMessage>,
    /// Number of redeliveries for which the outbox is paused.
    pauses: usize,
    /// Number of the ping in flight, and how many of the `unacknowledged` it covers.
    ping_in_flight: Option<(u64, usize)>,
    /// Number of pings so far.
    pings: u64,
    /// The running redelivery of each user, with a token that cancels it.
    redeliveries: Vec<(UserId, CancellationToken)>,
    /// The last live message. It is delivered once for each of the socket's users.
    last_live: Option<MessageNumber>,
    /// The last redelivered messages, at most [`REDELIVERED_MAX`].
    redelivered: VecDeque<MessageNumber>,
    is_closed: bool,
}

/// A message, and the user in whose inbox it is stored.
type UserMessage = (UserId, MessageNumber);

impl Deliveries {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code that holds the deliveries panics")
    }

    /// Sends a newly stored message, unless it was sent already. Returns true if it did.
    pub(crate) fn deliver_live(
        &self,
        hub: &Hub,
        session: &Arc<Session>,
        user: &UserId,
        number: MessageNumber,
        frame: &Bytes,
    ) -> bool {
        let mut state = self.lock();
        let is_new = state.last_live.replace(number) != Some(number) && !state.redelivered.contains(&number);
        if is_new && !hub.deliver_stored(session, frame, number) {
            return false;
        }
        if state.pauses > 0 {
            state.paused.push((user.clone(), number));
        } else {
            state.record_sent((user.clone(), number));
            state.ping(hub, session);
        }
        is_new
    }

    /// Registers a redelivery for a user, and cancels an earlier one. Returns its cancellation token.
    pub(crate) fn begin(&self, user: &UserId) -> CancellationToken {
        let mut state = self.lock();
        state.stop(user);
        let cancelled = CancellationToken::new();
        if state.is_closed {
            cancelled.cancel();
        } else {
            state.redeliveries.push((user.clone(), cancelled.clone()));
        }
        cancelled
    }

    /// Cancels the redelivery for a user.
    pub(crate) fn stop(&self, user: &UserId) {
        self.lock().stop(user);
    }

    /// Unregisters the redelivery with this token.
    pub(crate) fn end(&self, user: &UserId, cancelled: &CancellationToken) {
        let mut state = self.lock();
        // If it is cancelled, another redelivery may have taken its place.
        if !cancelled.is_cancelled() {
            state.stop(user);
        }
    }

    /// Sends a stored message ahead of the live messages in the paused outbox. Returns false if the
    /// redelivery is cancelled or the socket accepts no more messages.
    pub(crate) fn redeliver(
        &self,
        hub: &Hub,
        session: &Arc<Session>,
        message: UserMessage,
        frame: &Bytes,
        cancelled: &CancellationToken,
    ) -> bool {
        let mut state = self.lock();
        if cancelled.is_cancelled() || !hub.deliver_ahead(session, frame) {
            return false;
        }
        if state.redelivered.len() == REDELIVERED_MAX {
            state.redelivered.pop_front();
        }
        state.redelivered.push_back(message.1);
        state.record_sent(message);
        state.ping(hub, session);
        true
    }

    /// Returns true if a message is sent and not acknowledged.
    pub(crate) fn is_in_flight(&self, number: MessageNumber) -> bool {
        self.lock().unacknowledged.iter().any(|(_, sent)| *sent == number)
    }

    /// Returns true if a live message is in the paused outbox.
    pub(crate) fn is_paused(&self, number: MessageNumber) -> bool {
        self.lock().paused.iter().any(|(_, paused)| *paused == number)
    }

    /// The messages that are sent and not acknowledged.
    pub(crate) fn in_flight(&self) -> Vec<MessageNumber> {
        self.lock().unacknowledged.iter().map(|(_, number)| *number).collect()
    }

    /// Pauses the outbox.
    pub(crate) fn pause(&self, hub: &Hub, session: &Arc<Session>) {
        let mut state = self.lock();
        state.pauses += 1;
        hub.pause(session);
    }

    /// Resumes the outbox and drops the live messages that were redelivered.
    pub(crate) fn resume(
        &self,
        hub: &Hub,
        session: &Arc<Session>,
        was_redelivered: impl Fn(MessageNumber) -> bool,
    ) {
        let mut state = self.lock();
        state.pauses -= 1;
        state.paused.retain(|(_, number)| !was_redelivered(*number));
        hub.resume(session, was_redelivered);
        if state.pauses == 0 {
            std::mem::take(&mut state.paused).into_iter().for_each(|message| state.record_sent(message));
            state.ping(hub, session);
        }
    }

    /// Removes and returns the messages that a pong acknowledges: none if it does not answer a ping of
    /// this type.
    pub(crate) fn take_acknowledged(
        &self,
        hub: &Hub,
        session: &Arc<Session>,
        payload: &[u8],
    ) -> Vec<UserMessage> {
        let number = payload.strip_prefix(PING_PREFIX).and_then(|number| number.try_into().ok());
        let number = number.map(u64::from_be_bytes);
        let mut state = self.lock();
        let Some((_, count)) = state.ping_in_flight.filter(|(ping, _)| Some(*ping) == number) else {
            return Vec::new();
        };
        state.ping_in_flight = None;
        let acknowledged = state.unacknowledged.drain(..count).collect();
        state.ping(hub, session);
        acknowledged
    }

    /// Waits until every message sent by now is acknowledged. Returns false if the socket closes first.
    pub(crate) async fn wait_acknowledged(&self) -> bool {
        let last = self.lock().unacknowledged.back().map(|(_, number)| *number);
        loop {
            let notified = self.acknowledged.notified();
            if self.lock().is_closed {
                return false;
            }
            if !last.is_some_and(|last| self.is_in_flight(last)) {
                return true;
            }
            notified.await;
        }
    }

    /// Wakes the tasks in [`wait_acknowledged`](Self::wait_acknowledged).
    pub(crate) fn notify_acknowledged(&self) {
        self.acknowledged.notify_waiters();
    }

    /// Returns true if the socket is closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// Forgets what was sent through the previous connection of a resumed session: it is redelivered.
    pub(crate) fn reopen(&self) {
        let mut state = self.lock();
        let State { pauses, pings, .. } = *state;
        *state = State { pauses, pings, ..State::default() };
    }

    /// Cancels all redeliveries to a closed socket.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        state.redeliveries.drain(..).for_each(|(_, cancelled)| cancelled.cancel());
        drop(state);
        self.notify_acknowledged();
    }
}

impl State {
    /// Cancels the redelivery for a user.
    fn stop(&mut self, user: &UserId) {
        self.redeliveries.extract_if(.., |(of, _)| of == user).for_each(|(_, cancelled)| cancelled.cancel());
    }

    /// Records a sent message until it is acknowledged.
    fn record_sent(&mut self, message: UserMessage) {
        if self.unacknowledged.len() < UNACKNOWLEDGED_MAX {
            self.unacknowledged.push_back(message);
        }
    }

    /// Sends a ping after the sent messages, unless one is in flight.
    fn ping(&mut self, hub: &Hub, session: &Arc<Session>) {
        if self.ping_in_flight.is_some() || self.unacknowledged.is_empty() {
            return;
        }
        self.pings += 1;
        let mut payload = PING_PREFIX.to_vec();
        payload.extend_from_slice(&self.pings.to_be_bytes());
        // Not limited by the outbox bound: without a pong the same messages would be redelivered at each login.
        if hub.deliver_unbounded(session, &encode(OpCode::Ping, &payload)) {
            self.ping_in_flight = Some((self.pings, self.unacknowledged.len()));
        }
    }
}
