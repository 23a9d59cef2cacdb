//! Finds dead connections: one timer wheel per protocol probes all its sockets.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use switchboard_event::{Protocol, SocketId};
use switchboard_hub::Session;
use switchboard_ws::CloseCode;

use crate::node::conn::Conn;
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
    slots: [Vec<SocketId>; SLOTS],
    current: usize,
}

impl Heartbeat {
    /// Adds a socket. Its first probe is after one interval.
    pub(crate) fn watch(&self, id: SocketId) {
        let mut wheel = self.wheel.lock().expect("no code that holds the wheel panics");
        let slot = wheel.current;
        wheel.slots[slot].push(id);
    }

    pub(crate) async fn run(self, server: Arc<Server>, KeepAlive { interval, probe }: KeepAlive) {
        if interval.is_zero() {
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
            let mut wheel = self.wheel.lock().expect("no code that holds the wheel panics");
            wheel.current = (wheel.current + 1) % SLOTS;
            let slot = wheel.current;
            (slot, std::mem::take(&mut wheel.slots[slot]))
        };
        due.retain(|id| probe_socket(server, *id, probe));
        due.shrink_to(2 * due.len());
        let mut wheel = self.wheel.lock().expect("no code that holds the wheel panics");
        // Appended, because sockets may have been added to this slot during the probes.
        wheel.slots[slot].append(&mut due);
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
    let (node, conn) = (server.app.node(), Conn::of(session));
    // A connection with the maximum number of handlers in flight is not read, so it may be alive.
    let is_unread = conn.handlers.load(Ordering::Relaxed) as usize >= node.limits().handlers_in_flight_max;
    if conn.has_received.swap(false, Ordering::Relaxed) || is_unread {
        conn.missed_pings.store(0, Ordering::Relaxed);
    } else if conn.missed_pings.fetch_add(1, Ordering::Relaxed) + 1 >= misses_max {
        conn.record_close_code(CloseCode::ABNORMAL);
        session.outbox.abort();
        return false;
    }
    node.hub().deliver_ahead(session, &PING);
    server.notify_pinged(session);
    true
}
