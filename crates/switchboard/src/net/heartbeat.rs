//! Finds dead connections: one wheel of probes for all sockets of a protocol.

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

/// Slots of the wheel: each tick serves one, so pings of many sockets spread over the interval.
const SLOTS: usize = 32;

/// The wheels of a node, by protocol.
#[derive(Default)]
pub(crate) struct Heartbeats([Heartbeat; Protocol::COUNT]);

impl Heartbeats {
    pub(crate) fn of(&self, protocol: Protocol) -> &Heartbeat {
        &self.0[protocol.index()]
    }
}

/// A wheel. A socket has one slot and is probed once per turn of the wheel.
#[derive(Clone, Default)]
pub(crate) struct Heartbeat {
    wheel: Arc<Mutex<Wheel>>,
}

#[derive(Default)]
struct Wheel {
    slots: [Vec<SocketId>; SLOTS],
    now: usize,
}

impl Heartbeat {
    /// Adds a socket; it is probed first after one interval.
    pub(crate) fn watch(&self, id: SocketId) {
        let mut wheel = self.wheel.lock().expect("no code that holds the wheel panics");
        let slot = wheel.now;
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
            self.turn(&server, probe);
        }
    }

    fn turn(&self, server: &Server, probe: Probe) {
        let (place, mut due) = {
            let mut wheel = self.wheel.lock().expect("no code that holds the wheel panics");
            wheel.now = (wheel.now + 1) % SLOTS;
            let place = wheel.now;
            (place, std::mem::take(&mut wheel.slots[place]))
        };
        due.retain(|id| beat(server, *id, probe));
        due.shrink_to(2 * due.len());
        let mut wheel = self.wheel.lock().expect("no code that holds the wheel panics");
        // Sockets that were added meanwhile wait for the next turn too.
        wheel.slots[place].append(&mut due);
    }
}

/// Probes one socket. Returns false if it is gone.
fn beat(server: &Server, id: SocketId, probe: Probe) -> bool {
    let node = server.app.node();
    let Some(session) = node.hub().index().session(id) else { return false };
    match probe {
        Probe::Ping { misses_max } => ping(server, &session, misses_max),
        Probe::Heartbeat { attempts_max, send } => send(node, &session, attempts_max),
    }
}

/// Pings one socket, or cuts it if nothing arrived after the last `misses_max` pings.
fn ping(server: &Server, session: &Arc<Session>, misses_max: u8) -> bool {
    let (node, conn) = (server.app.node(), Conn::of(session));
    // A connection that is not read, since its handlers wait, may be alive.
    let is_unread = conn.handlers.load(Ordering::Relaxed) as usize >= node.limits().handlers_in_flight_max;
    if conn.heard.swap(false, Ordering::Relaxed) || is_unread {
        conn.missed.store(0, Ordering::Relaxed);
    } else if conn.missed.fetch_add(1, Ordering::Relaxed) + 1 >= misses_max {
        conn.closed_by_us(CloseCode::ABNORMAL);
        session.outbox.abort();
        return false;
    }
    node.hub().deliver_ahead(session, &PING);
    server.notify_pinged(session);
    true
}
