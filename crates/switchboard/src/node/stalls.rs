//! Which senders wait for which receivers, and for how long receivers have delayed senders.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use switchboard_event::SocketId;
use switchboard_hub::{Backlog, Session};

use crate::node::clock::now;
use crate::node::delays::Delays;
use crate::node::limits::Limits;

/// After this time nobody waits for the receivers of a sender any more.
const UNAWAITED: Duration = Duration::from_secs(60);

/// The state of flow control.
#[derive(Default)]
pub(crate) struct Stalls(Mutex<State>);

#[derive(Default)]
struct State {
    /// The receivers that a sender is to wait for, by sender.
    awaited: HashMap<SocketId, Awaited>,
    /// By receiver.
    delays: HashMap<SocketId, Delays>,
}

/// The receivers that a sender is to wait for.
struct Awaited {
    since: Instant,
    receivers: HashMap<SocketId, Arc<Session>>,
}

impl Stalls {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no code that holds the lock panics")
    }

    /// Adds receivers that a sender is to wait for, if they may delay it. Returns true if there are any.
    pub(crate) fn add(&self, limits: &Limits, sender: SocketId, receivers: Vec<Arc<Session>>) -> bool {
        let mut state = self.lock();
        let State { awaited, delays } = &mut *state;
        let may_delay = |receiver: &Arc<Session>| {
            let delays = delays.get(&receiver.id);
            delays.is_none_or(|delays| delays.may_delay(limits, receiver.outbox.backlog().sent))
        };
        let mut receivers = receivers.into_iter().filter(may_delay).peekable();
        if receivers.peek().is_none() {
            return false;
        }
        let awaited =
            awaited.entry(sender).or_insert_with(|| Awaited { since: now(), receivers: HashMap::new() });
        awaited.receivers.extend(receivers.map(|session| (session.id, session)));
        true
    }

    /// Removes and returns the receivers that a sender is to wait for.
    pub(crate) fn take(&self, sender: SocketId) -> impl Iterator<Item = Arc<Session>> + use<> {
        let awaited = self.lock().awaited.remove(&sender);
        awaited.into_iter().flat_map(|awaited| awaited.receivers.into_values())
    }

    /// Counts the time during which a sender has waited for a receiver, and returns true if it may wait longer.
    pub(crate) fn may_wait_longer(
        &self,
        limits: &Limits,
        receiver: SocketId,
        from: (Instant, Backlog),
        to: (Instant, Backlog),
    ) -> bool {
        let mut state = self.lock();
        let delays = state.delays.entry(receiver).or_insert_with(|| Delays::new(from.0, from.1.sent));
        delays.add(limits, from.0, to.0, to.1.sent);
        delays.may_delay(limits, to.1.sent)
    }

    /// Forgets delays that no longer count.
    pub(crate) fn sweep(&self, limits: &Limits, now: Instant) {
        let mut state = self.lock();
        // Senders of other nodes whose connections have ended, or that have sent no mark for that long.
        state.awaited.retain(|_, awaited| now - awaited.since < UNAWAITED);
        state.delays.retain(|_, delays| !delays.are_over(limits, now));
        if state.delays.is_empty() {
            state.delays = HashMap::new();
        }
    }
}
