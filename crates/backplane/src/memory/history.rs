//! The history of rooms in the memory of one process.
//!
//! Each room has a log with a lock of its own, which is held while a message is numbered and delivered. At a bound on
//! all rooms the logs that were not used for the longest time are removed; such a room begins a new epoch.

mod log;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use switchboard_event::{Event, Position, ProjectId, RoomName, Target};

use self::log::{Log, RoomLog};
use crate::future::{BackplaneFuture, reply};
use crate::history::{
    AppendOutcome, History, HistoryLimits, HistoryPage, HistoryRange, HistoryUsage, RoomMessage,
};

const STRIPES: usize = 64;

/// How long a log without messages is kept after its last use: 1 hour.
const EMPTY_MAX_MS: u64 = 60 * 60 * 1000;

/// Bounds on all rooms of a [`MemoryHistory`]. At a bound the logs that were not used for the longest time are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryHistoryLimits {
    /// Rooms with a history; default 100,000.
    pub rooms_max: usize,
    /// Bytes of messages and of their bookkeeping; default 256 MiB.
    pub bytes_max: usize,
}

impl Default for MemoryHistoryLimits {
    fn default() -> Self {
        MemoryHistoryLimits { rooms_max: 100_000, bytes_max: 256 * 1024 * 1024 }
    }
}

type Key = (ProjectId, RoomName);

/// Keeps the history of rooms in memory, for a single node or several nodes in one process.
pub struct MemoryHistory {
    stripes: [Mutex<HashMap<Key, Arc<RoomLog>>>; STRIPES],
    limits: MemoryHistoryLimits,
    /// Milliseconds since 1970.
    clock: fn() -> u64,
    rooms: AtomicUsize,
    bytes: AtomicUsize,
    evicted: AtomicU64,
    /// The stripe from which the next log is removed at a bound.
    hand: AtomicUsize,
}

impl MemoryHistory {
    /// An empty history. `clock` returns milliseconds since 1970.
    pub fn new(limits: MemoryHistoryLimits, clock: fn() -> u64) -> Self {
        MemoryHistory {
            stripes: std::array::from_fn(|_| Mutex::default()),
            limits,
            clock,
            rooms: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            evicted: AtomicU64::new(0),
            hand: AtomicUsize::new(0),
        }
    }

    fn stripe(&self, room: &RoomName) -> MutexGuard<'_, HashMap<Key, Arc<RoomLog>>> {
        // Only spreads the locks: a client that makes rooms collide here slows its own rooms.
        let sum = room.bytes().fold(0usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        lock(&self.stripes[sum % STRIPES])
    }

    fn log(&self, project: &ProjectId, room: &RoomName, now_ms: u64) -> Arc<RoomLog> {
        let key = (project.clone(), room.clone());
        let mut stripe = self.stripe(room);
        if let Some(log) = stripe.get(&key) {
            return log.clone();
        }
        let log = Arc::new(RoomLog::new(now_ms));
        stripe.insert(key, log.clone());
        drop(stripe);
        self.rooms.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(RoomLog::BYTES, Ordering::Relaxed);
        log
    }

    /// Calls `visit` with the log of a room, which it makes if there is none. The log is locked meanwhile.
    fn with_log<T>(&self, project: &ProjectId, room: &RoomName, visit: impl FnOnce(&mut Log, u64) -> T) -> T {
        let now_ms = (self.clock)();
        loop {
            let room_log = self.log(project, room, now_ms);
            let mut log = lock(&room_log.log);
            // Another thread removes the log from its stripe.
            if log.is_removed {
                continue;
            }
            room_log.used_ms.store(now_ms, Ordering::Relaxed);
            let before = log.bytes();
            let value = visit(&mut log, now_ms);
            let after = log.bytes();
            drop(log);
            self.bytes.fetch_add(after, Ordering::Relaxed);
            self.bytes.fetch_sub(before, Ordering::Relaxed);
            self.evict_over_bound();
            return value;
        }
    }

    /// Like [`History::append`], and passes also the time at which the message was kept, in milliseconds since 1970.
    pub fn append_at(
        &self,
        message: RoomMessage<'_>,
        limits: &HistoryLimits,
        deliver: &mut dyn FnMut(Position, u64),
    ) {
        self.with_log(message.project, message.room, |log, now_ms| {
            deliver(log.append(&message, limits, now_ms), now_ms);
        });
    }

    /// Adds the history of a room that was kept elsewhere. `messages` are its latest ones, oldest first, each with its
    /// time. The last of them has the offset of `top`.
    pub fn restore(
        &self,
        (project, room): (&ProjectId, &RoomName),
        top: Position,
        age_max_ms: u64,
        messages: impl IntoIterator<Item = (u64, Event, Vec<Target>)>,
    ) {
        self.with_log(project, room, |log, _| log.restore(top, age_max_ms, messages));
    }

    /// Removes the history of every room. The next message of each begins an epoch.
    pub fn clear_all(&self) {
        for stripe in &self.stripes {
            let mut stripe = lock(stripe);
            for (key, room_log) in stripe.clone() {
                self.forget(&mut stripe, &key, &mut lock(&room_log.log));
            }
        }
    }

    fn evict_over_bound(&self) {
        let is_over = || {
            self.rooms.load(Ordering::Relaxed) > self.limits.rooms_max
                || self.bytes.load(Ordering::Relaxed) > self.limits.bytes_max
        };
        // One pass over the stripes; a log that is in use is left out.
        for _ in 0..STRIPES {
            if !is_over() {
                return;
            }
            let hand = self.hand.fetch_add(1, Ordering::Relaxed) % STRIPES;
            let mut stripe = lock(&self.stripes[hand]);
            let oldest = stripe.iter().min_by_key(|(_, log)| log.used_ms.load(Ordering::Relaxed));
            let Some(key) = oldest.map(|(key, _)| key.clone()) else { continue };
            if self.remove(&mut stripe, &key, |_| true) {
                self.evicted.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Removes a log that is not in use, if `condition` holds.
    fn remove(
        &self,
        stripe: &mut HashMap<Key, Arc<RoomLog>>,
        key: &Key,
        condition: impl FnOnce(&Log) -> bool,
    ) -> bool {
        let Some(room_log) = stripe.get(key).cloned() else { return false };
        let Ok(mut log) = room_log.log.try_lock() else { return false };
        if !condition(&log) {
            return false;
        }
        self.forget(stripe, key, &mut log);
        true
    }

    fn forget(&self, stripe: &mut HashMap<Key, Arc<RoomLog>>, key: &Key, log: &mut Log) {
        log.is_removed = true;
        stripe.remove(key);
        if stripe.capacity() > 4 * stripe.len().max(16) {
            stripe.shrink_to_fit();
        }
        self.rooms.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(RoomLog::BYTES + log.bytes(), Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no code that holds a history panics")
}

impl History for MemoryHistory {
    fn append(
        &self,
        message: RoomMessage<'_>,
        limits: &HistoryLimits,
        deliver: &mut dyn FnMut(Position),
    ) -> AppendOutcome {
        self.append_at(message, limits, &mut |position, _| deliver(position));
        AppendOutcome::Delivered
    }

    fn read<'a>(
        &'a self,
        project: &'a ProjectId,
        room: &'a RoomName,
        limits: &'a HistoryLimits,
        range: HistoryRange,
        limit: usize,
    ) -> BackplaneFuture<'a, HistoryPage> {
        reply(self.with_log(project, room, |log, now_ms| {
            log.trim(limits, now_ms);
            log.read(range, limit)
        }))
    }

    fn with_top(&self, project: &ProjectId, room: &RoomName, visit: &mut dyn FnMut(Position)) -> bool {
        self.with_log(project, room, |log, _| visit(log.top()));
        true
    }

    fn clear<'a>(&'a self, project: &'a ProjectId, room: &'a RoomName) -> BackplaneFuture<'a, ()> {
        let key = (project.clone(), room.clone());
        let mut stripe = self.stripe(room);
        if let Some(room_log) = stripe.get(&key).cloned() {
            self.forget(&mut stripe, &key, &mut lock(&room_log.log));
        }
        reply(())
    }

    fn sweep(&self) {
        let now_ms = (self.clock)();
        for stripe in &self.stripes {
            let mut stripe = lock(stripe);
            let keys: Vec<Key> = stripe.keys().cloned().collect();
            for key in keys {
                let Some(room_log) = stripe.get(&key).cloned() else { continue };
                let Ok(mut log) = room_log.log.try_lock() else { continue };
                let before = log.bytes();
                log.expire(now_ms);
                self.bytes.fetch_sub(before - log.bytes(), Ordering::Relaxed);
                let unused_ms = now_ms.saturating_sub(room_log.used_ms.load(Ordering::Relaxed));
                if log.is_empty() && unused_ms >= EMPTY_MAX_MS {
                    self.forget(&mut stripe, &key, &mut log);
                }
            }
        }
    }

    fn usage(&self) -> HistoryUsage {
        HistoryUsage {
            rooms: self.rooms.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            evicted_rooms: self.evicted.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use switchboard_event::{Name, Payload};

    use super::*;

    static NOW_MS: AtomicU64 = AtomicU64::new(1_000_000);

    fn append(history: &MemoryHistory, room: &str, data: &str) -> Position {
        let event = Event {
            name: Name::new("e").unwrap(),
            data: Payload::parse(data).unwrap(),
            sender: None,
            time_ms: 0,
            trace: None,
        };
        let (project, room) = (ProjectId::new("p").unwrap(), RoomName::new(room).unwrap());
        let message = RoomMessage { project: &project, room: &room, except: &[], event: &event };
        let mut position = None;
        history.append(message, &HistoryLimits::default(), &mut |at| position = Some(at));
        position.expect("memory delivers at once")
    }

    #[test]
    fn at_the_bound_of_rooms_the_logs_that_were_not_used_for_longest_are_removed() {
        let limits = MemoryHistoryLimits { rooms_max: 100, bytes_max: usize::MAX };
        let history = MemoryHistory::new(limits, || 0);
        let first = append(&history, "first", "1");
        for n in 0..1000 {
            append(&history, &n.to_string(), "1");
        }
        assert!(history.usage().rooms <= 100, "{:?}", history.usage());
        assert_eq!(history.usage().evicted_rooms, 1001 - history.usage().rooms as u64);
        let again = append(&history, "first", "1");
        assert!(again.epoch != first.epoch && again.offset == 1 || again.offset == 2);
    }

    #[test]
    fn the_bytes_of_all_rooms_are_bounded_and_counted_exactly() {
        let limits = MemoryHistoryLimits { rooms_max: 1000, bytes_max: 100_000 };
        let history = MemoryHistory::new(limits, || 0);
        let data = format!("\"{}\"", "x".repeat(500));
        for n in 0..2000 {
            append(&history, &format!("room {}", n % 300), &data);
            assert!(history.usage().bytes <= 100_000, "{n}: {:?}", history.usage());
        }
        let project = ProjectId::new("p").unwrap();
        for n in 0..300 {
            drop(history.clear(&project, &RoomName::new(&format!("room {n}")).unwrap()));
        }
        assert_eq!((history.usage().rooms, history.usage().bytes), (0, 0));
    }

    #[test]
    fn a_sweep_frees_expired_messages_and_later_the_room() {
        let history = MemoryHistory::new(MemoryHistoryLimits::default(), || NOW_MS.load(Ordering::Relaxed));
        let epoch = append(&history, "r", "1").epoch;
        let with_message = history.usage().bytes;
        NOW_MS.fetch_add(HistoryLimits::default().age_max_ms, Ordering::Relaxed);
        history.sweep();
        assert!(history.usage().bytes < with_message && history.usage().rooms == 1);
        assert_eq!(append(&history, "r", "1"), Position { epoch, offset: 2 });
        NOW_MS.fetch_add(EMPTY_MAX_MS, Ordering::Relaxed);
        history.sweep();
        assert_eq!(history.usage(), HistoryUsage::default());
    }
}
