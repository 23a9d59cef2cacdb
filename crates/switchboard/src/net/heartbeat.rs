//! Finds dead connections: one timer wheel per protocol probes all its sockets.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use switchboard_event::{Protocol, SocketId};
use switchboard_hub::{Session, Slot};
use switchboard_ws::CloseCode;

use crate::node::connection_state::ConnectionState;
use crate::protocols::config::{KeepAlive, Probe};
use crate::routing::server::Server;

/// A WebSocket ping without a payload.
const PING: Bytes = Bytes::from_static(&[0x89, 0]);

/// Slots of a wheel. Each tick probes the sockets of one slot, which spreads pings over the interval.
const SLOTS: usize = 32;

/// The timer wheels of a node, by protocol.
#[derive(Default)]
pub(crate) struct Heartbeats([Heartbeat; Protocol::COUNT]);

impl Heartbeats {
    pub(crate) fn of(&self, protocol: Protocol) -> &Heartbeat {
        &self.0[protocol.index()]
    }
}

/// A timer wheel. Each socket has one slot and is probed once per revolution.
#[derive(Clone, Default)]
pub(crate) struct Heartbeat {
    wheel: Arc<Mutex<Wheel>>,
}

#[derive(Default)]
struct Wheel {
    slots: [HashSet<SocketId>; SLOTS],
    current: usize,
    /// Nothing is probed, so nothing is watched.
    is_off: bool,
}

impl Heartbeat {
    fn wheel(&self) -> MutexGuard<'_, Wheel> {
        self.wheel.lock().expect("no code that holds the wheel panics")
    }

    /// Adds a socket. Its first probe is after one interval.
    pub(crate) fn watch(&self, session: &Session) {
        let mut wheel = self.wheel();
        if !wheel.is_off {
            let slot = wheel.current;
            wheel.slots[slot].insert(session.id);
            ConnectionState::of(session).heartbeat_slot.store(slot as u8, Ordering::Relaxed);
        }
    }

    /// Removes a socket that has closed.
    pub(crate) fn forget(&self, session: &Session) {
        let slot = ConnectionState::of(session).heartbeat_slot.load(Ordering::Relaxed);
        self.wheel().slots[slot as usize].remove(&session.id);
    }

    pub(crate) async fn run(self, server: Arc<Server>, KeepAlive { interval, probe }: KeepAlive) {
        if interval.is_zero() {
            *self.wheel() = Wheel { is_off: true, ..Wheel::default() };
            return;
        }
        let mut ticks = tokio::time::interval(interval / SLOTS as u32);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            self.tick(&server, probe);
        }
    }

    /// Advances the wheel by one slot and probes its sockets.
    fn tick(&self, server: &Server, probe: Probe) {
        let (slot, mut due) = {
            let mut wheel = self.wheel();
            wheel.current = (wheel.current + 1) % SLOTS;
            let slot = wheel.current;
            (slot, std::mem::take(&mut wheel.slots[slot]))
        };
        due.retain(|id| probe_socket(server, *id, probe));
        due.shrink_to(2 * due.len());
        let mut wheel = self.wheel();
        // Sockets may have been added to this slot during the probes. One that has closed meanwhile stays until
        // the next probe.
        let added = std::mem::replace(&mut wheel.slots[slot], due);
        wheel.slots[slot].extend(added);
    }
}

/// Probes one socket. Returns false if it has disconnected.
fn probe_socket(server: &Server, id: SocketId, probe: Probe) -> bool {
    let node = server.app.node();
    let Some(session) = node.hub().index().session(id) else { return false };
    match probe {
        Probe::Ping { misses_max } => ping(server, &session, misses_max),
        Probe::Heartbeat { attempts_max, send } => send(node, &session, attempts_max),
    }
}

/// Pings a socket, or aborts its connection if nothing arrived after the last `misses_max` pings.
fn ping(server: &Server, session: &Arc<Session>, misses_max: u8) -> bool {
    let (node, state) = (server.app.node(), ConnectionState::of(session));
    // A connection with the maximum number of handlers in flight is not read, so it may be alive.
    let is_unread = state.handlers.load(Ordering::Relaxed) as usize >= node.limits().handlers_in_flight_max;
    if state.has_received.swap(false, Ordering::Relaxed) || is_unread {
        state.missed_pings.store(0, Ordering::Relaxed);
    } else if state.missed_pings.fetch_add(1, Ordering::Relaxed) + 1 >= misses_max {
        state.record_close_code(CloseCode::ABNORMAL);
        session.outbox.abort();
        return false;
    }
    node.hub().deliver_latest([session], &PING, Slot::Probe);
    server.notify_pinged(session);
    true
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::api::app::App;
    use crate::node::limits::Limits;

    fn watched(app: &App) -> usize {
        let heartbeat = app.node().extension::<Heartbeats>().of(Protocol::Emit);
        heartbeat.wheel().slots.iter().map(HashSet::len).sum()
    }

    async fn until(condition: impl Fn() -> bool) {
        while !condition() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_socket_is_watched_until_it_closes_and_never_without_heartbeats() {
        for (seconds, watched_while_open) in [(3600, 10), (0, 0)] {
            let heartbeat_interval = Duration::from_secs(seconds);
            let app = App::new().with_limits(Limits { heartbeat_interval, ..Limits::default() });
            let connect = |_| {
                let (peer, stream) = tokio::io::duplex(1024);
                app.connect_stream(stream);
                peer
            };
            let peers: Vec<_> = (0..10).map(connect).collect();
            until(|| watched(&app) == watched_while_open).await;
            drop(peers);
            until(|| app.hub().index().is_empty() && watched(&app) == 0).await;
        }
    }
}
