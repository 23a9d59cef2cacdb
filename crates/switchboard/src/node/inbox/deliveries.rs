//! What a socket was sent of what waits for its user, until it surely has it.
//!
//! Behind the messages goes a ping. Frames arrive in their order, so its answer says that they have
//! arrived. One ping is on its way at a time: what is sent meanwhile goes with the next.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use switchboard_event::{MessageNumber, UserId};
use switchboard_hub::{Hub, Session};
use switchboard_ws::frame::{OpCode, encode};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// What our pings say in front of their number.
const PING_HEAD: &[u8; 4] = b"kept";

/// Most messages that wait for the answer of one socket. What is sent beyond stays in the store and is
/// told again to who comes next.
const SENT_MAX: usize = 10_000;

/// How many of those that were told last are known, until they are heard as well: an inbox and a bus answer by
/// different ways, and what was put just before the inbox was read may be heard a little later.
const TOLD_KNOWN: usize = super::PAGE;

/// What one socket was sent.
#[derive(Default)]
pub(crate) struct Deliveries {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// Sent, and not known to have arrived, in order.
    sent: VecDeque<(UserId, MessageNumber)>,
    /// Paused in the outbox.
    held: Vec<(UserId, MessageNumber)>,
    /// How many are behind something that is told first.
    paused: usize,
    /// The ping on its way, and how many of `sent` are in front of it.
    asked: Option<(u64, usize)>,
    pings: u64,
    /// For each user who is being told what waited: cancelled when that is over.
    tellings: Vec<(UserId, CancellationToken)>,
    /// The last message that was heard: it may come once for each of the socket's users.
    last: Option<MessageNumber>,
    /// The last ones that were told as having waited.
    told: VecDeque<MessageNumber>,
    gone: bool,
}

/// A message of a user.
type Told = (UserId, MessageNumber);

impl Deliveries {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code that holds the deliveries panics")
    }

    /// Sends a message that has just been kept.
    pub(super) fn hear(
        &self,
        hub: &Hub,
        session: &Arc<Session>,
        user: &UserId,
        number: MessageNumber,
        frame: &Bytes,
    ) {
        let mut state = self.lock();
        let is_new = state.last.replace(number) != Some(number) && !state.told.contains(&number);
        if is_new && !hub.deliver_stored(session, frame, number) {
            return;
        }
        if state.paused > 0 {
            state.held.push((user.clone(), number));
        } else {
            state.note((user.clone(), number));
            state.ask(hub, session);
        }
    }

    /// Begins to tell what waits for a user; whoever was at it stops.
    pub(super) fn begin(&self, user: &UserId) -> CancellationToken {
        let mut state = self.lock();
        state.stop(user);
        let over = CancellationToken::new();
        if state.gone {
            over.cancel();
        } else {
            state.tellings.push((user.clone(), over.clone()));
        }
        over
    }

    /// Tells no more what waits for a user.
    pub(super) fn stop(&self, user: &UserId) {
        self.lock().stop(user);
    }

    /// Whoever began with `over` has told everything.
    pub(super) fn end(&self, user: &UserId, over: &CancellationToken) {
        let mut state = self.lock();
        // If it is cancelled another one may have begun.
        if !over.is_cancelled() {
            state.stop(user);
        }
    }

    /// Sends a message that has waited, before what is paused, if that is not `over`.
    pub(super) fn tell(
        &self,
        hub: &Hub,
        session: &Arc<Session>,
        told: Told,
        frame: &Bytes,
        over: &CancellationToken,
    ) -> bool {
        let mut state = self.lock();
        if over.is_cancelled() || !hub.deliver_ahead(session, frame) {
            return false;
        }
        if state.told.len() == TOLD_KNOWN {
            state.told.pop_front();
        }
        state.told.push_back(told.1);
        state.note(told);
        state.ask(hub, session);
        true
    }

    /// Whether it has been sent and is not known to have arrived.
    pub(super) fn knows(&self, number: MessageNumber) -> bool {
        self.lock().sent.iter().any(|(_, known)| *known == number)
    }

    /// Whether it is paused.
    pub(super) fn holds(&self, number: MessageNumber) -> bool {
        self.lock().held.iter().any(|(_, held)| *held == number)
    }

    /// What has been sent and is not known to have arrived.
    pub(super) fn on_their_way(&self) -> Vec<MessageNumber> {
        self.lock().sent.iter().map(|(_, number)| *number).collect()
    }

    pub(super) fn pause(&self, hub: &Hub, session: &Arc<Session>) {
        let mut state = self.lock();
        state.paused += 1;
        hub.pause(session);
    }

    /// Lets go what is paused, without what has been told.
    pub(super) fn resume(&self, hub: &Hub, session: &Arc<Session>, told: impl Fn(MessageNumber) -> bool) {
        let mut state = self.lock();
        state.paused -= 1;
        state.held.retain(|(_, number)| !told(*number));
        hub.resume(session, told);
        if state.paused == 0 {
            std::mem::take(&mut state.held).into_iter().for_each(|told| state.note(told));
            state.ask(hub, session);
        }
    }

    /// What has arrived, now that a ping is answered; nothing if it is none of ours.
    pub(super) fn answered(&self, hub: &Hub, session: &Arc<Session>, payload: &[u8]) -> Vec<Told> {
        let number = payload.strip_prefix(PING_HEAD).and_then(|number| number.try_into().ok());
        let number = number.map(u64::from_be_bytes);
        let mut state = self.lock();
        let Some((_, count)) = state.asked.filter(|(asked, _)| Some(*asked) == number) else {
            return Vec::new();
        };
        state.asked = None;
        let arrived = state.sent.drain(..count).collect();
        state.ask(hub, session);
        arrived
    }

    /// Waits until all that has been sent by now has arrived. False if the socket is gone.
    pub(super) async fn arrived(&self) -> bool {
        let last = self.lock().sent.back().map(|(_, number)| *number);
        loop {
            let changed = self.changed.notified();
            if self.lock().gone {
                return false;
            }
            if !last.is_some_and(|last| self.knows(last)) {
                return true;
            }
            changed.await;
        }
    }

    /// Wakes who waits for something to arrive.
    pub(super) fn wake(&self) {
        self.changed.notify_waiters();
    }

    /// The socket is gone: nobody waits any longer.
    pub(super) fn hang_up(&self) {
        let mut state = self.lock();
        state.gone = true;
        state.tellings.drain(..).for_each(|(_, over)| over.cancel());
        drop(state);
        self.wake();
    }
}

impl State {
    fn stop(&mut self, user: &UserId) {
        self.tellings.extract_if(.., |(told, _)| told == user).for_each(|(_, over)| over.cancel());
    }

    fn note(&mut self, told: Told) {
        if self.sent.len() < SENT_MAX {
            self.sent.push_back(told);
        }
    }

    /// Sends a ping behind what was sent, unless one is on its way.
    fn ask(&mut self, hub: &Hub, session: &Arc<Session>) {
        if self.asked.is_some() || self.sent.is_empty() {
            return;
        }
        self.pings += 1;
        let mut payload = PING_HEAD.to_vec();
        payload.extend_from_slice(&self.pings.to_be_bytes());
        // Whatever is queued in front of it: without an answer the same would be told at each login.
        if hub.deliver_unbounded(session, &encode(OpCode::Ping, &payload)) {
            self.asked = Some((self.pings, self.sent.len()));
        }
    }
}
