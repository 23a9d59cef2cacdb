//! Finds peers that are gone without a word: one wheel of pings for all sockets.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use switchboard_event::SocketId;
use switchboard_hub::Session;
use switchboard_ws::CloseCode;

use crate::api::app::App;
use crate::node::conn::Peer;
use crate::protocols::mesa;
use crate::routing::server::Served;

/// A WebSocket ping without a payload.
const PING: Bytes = Bytes::from_static(&[0x89, 0]);

/// Slots of the wheel: each tick serves one, so pings of many sockets spread over the interval.
const SLOTS: usize = 32;

/// How the sockets of a protocol are kept alive.
#[derive(Clone, Copy)]
pub(crate) struct KeepAlive {
    /// How often each is asked; zero is never.
    pub(crate) interval: Duration,
    pub(crate) ask: Ask,
}

/// How a socket is asked whether it is there.
#[derive(Clone, Copy)]
pub(crate) enum Ask {
    /// By a WebSocket ping; one that so many in a row brought no sign of is cut.
    Ping { misses_max: u8 },
    /// In Mesa's own words.
    Mesa { attempts_max: u32 },
}

/// The wheel. A socket stands in one slot and is looked at once per turn of the wheel.
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
    /// Looks after a socket from now on; its first ping comes after one interval.
    pub(crate) fn watch(&self, id: SocketId) {
        let mut wheel = self.wheel.lock().expect("no code that holds the wheel panics");
        let slot = wheel.now;
        wheel.slots[slot].push(id);
    }

    pub(crate) async fn run(self, served: Arc<Served>, KeepAlive { interval, ask }: KeepAlive) {
        if interval.is_zero() {
            return;
        }
        let mut ticks = tokio::time::interval(interval / SLOTS as u32);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            self.turn(&served, ask);
        }
    }

    fn turn(&self, served: &Arc<Served>, ask: Ask) {
        let (place, mut due) = {
            let mut wheel = self.wheel.lock().expect("no code that holds the wheel panics");
            wheel.now = (wheel.now + 1) % SLOTS;
            let place = wheel.now;
            (place, std::mem::take(&mut wheel.slots[place]))
        };
        due.retain(|id| beat(served, *id, ask));
        due.shrink_to(2 * due.len());
        let mut wheel = self.wheel.lock().expect("no code that holds the wheel panics");
        // Who came in meanwhile waits for the next turn too.
        wheel.slots[place].append(&mut due);
    }
}

/// Asks one socket whether it is there. False if it is gone.
fn beat(served: &Arc<Served>, id: SocketId, ask: Ask) -> bool {
    let Some(session) = served.app.hub().index().session(id) else { return false };
    match ask {
        Ask::Ping { misses_max } => ping(served, &session, misses_max),
        Ask::Mesa { attempts_max } => mesa::beat(&served.app, &session, attempts_max),
    }
}

/// Pings one socket, or cuts it if the last `misses_max` pings brought no sign of it.
fn ping(served: &Arc<Served>, session: &Arc<Session>, misses_max: u8) -> bool {
    let app: &App = &served.app;
    let peer = Peer::of(session);
    // One that is not read because its handlers wait cannot be heard.
    let unread = peer.waiting.load(Ordering::Relaxed) as usize >= app.limits().handlers_waiting_max;
    if peer.heard.swap(false, Ordering::Relaxed) || unread {
        peer.missed.store(0, Ordering::Relaxed);
    } else if peer.missed.fetch_add(1, Ordering::Relaxed) + 1 >= misses_max {
        peer.closed_by_us(CloseCode::ABNORMAL);
        session.outbox.abort();
        return false;
    }
    app.hub().deliver_ahead(session, &PING);
    served.ping_sent(session);
    true
}
