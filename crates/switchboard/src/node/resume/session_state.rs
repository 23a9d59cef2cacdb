//! The state with which a session is resumed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use switchboard_event::{Payload, PayloadError};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Most bytes of the keys and values that a session remembers.
pub(crate) const REMEMBERED_BYTES_MAX: usize = 4096;

/// Most bytes of replies that are kept for one detached session.
const REPLY_BYTES_MAX: usize = 64 * 1024;

/// The state with which a session is resumed. One pointer in sessions that cannot.
#[derive(Default)]
pub(crate) struct ResumeState {
    /// The client has a ticket.
    is_offered: AtomicBool,
    /// How often the session was taken over.
    epoch: AtomicU32,
    /// Being handed over to another node.
    is_moving: AtomicBool,
    /// Between two connections.
    is_detached: AtomicBool,
    /// The store will write the record of the session.
    is_record_queued: AtomicBool,
    /// Live messages are held back until the client shows its positions.
    awaits_positions: AtomicBool,
    /// Locked while the session gets a connection, and while a recovery sends a frame to one.
    attachment: Mutex<()>,
    changed: Notify,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    remembered: BTreeMap<Box<str>, Payload>,
    /// Replies to requests of the client that were computed while it had no connection.
    replies: Vec<Bytes>,
    reply_bytes: usize,
}

/// A value was not remembered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RememberError {
    /// Keys and values would exceed 4,096 bytes.
    #[error("keys and values of a socket would have {bytes} bytes; at most {max} are remembered")]
    TooLarge {
        /// Their size.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// The value cannot be serialized as JSON.
    #[error(transparent)]
    Data(#[from] PayloadError),
}

impl ResumeState {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("no code that holds the lock panics")
    }

    pub(super) fn offer(&self) {
        self.is_offered.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_offered(&self) -> bool {
        self.is_offered.load(Ordering::Relaxed)
    }

    pub(super) fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Uses a ticket up. Returns false if one with this epoch, or a later one, was used before.
    pub(super) fn claim(&self, epoch: u32) -> bool {
        let next = epoch.wrapping_add(1);
        self.epoch.compare_exchange(epoch, next, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    pub(super) fn set_moving(&self) {
        self.is_moving.store(true, Ordering::Release);
    }

    pub(super) fn is_moving(&self) -> bool {
        self.is_moving.load(Ordering::Acquire)
    }

    pub(crate) fn is_detached(&self) -> bool {
        self.is_detached.load(Ordering::Acquire)
    }

    pub(super) fn set_detached(&self, is_detached: bool) {
        self.is_detached.store(is_detached, Ordering::Release);
    }

    /// Returns true if the record must be queued.
    pub(super) fn queue_record(&self) -> bool {
        !self.is_record_queued.swap(true, Ordering::AcqRel)
    }

    /// The record is about to be read.
    pub(super) fn begin_record(&self) {
        self.is_record_queued.store(false, Ordering::Release);
    }

    pub(super) fn set_awaits_positions(&self) {
        self.awaits_positions.store(true, Ordering::Release);
    }

    pub(super) fn awaits_positions(&self) -> bool {
        self.awaits_positions.load(Ordering::Relaxed)
    }

    /// Returns true to one caller, if positions were awaited.
    pub(super) fn take_awaits_positions(&self) -> bool {
        self.awaits_positions.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn lock_attachment(&self) -> MutexGuard<'_, ()> {
        self.attachment.lock().expect("no code that holds the lock panics")
    }

    /// Notified of the next change: the session is detached, or has ended.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    pub(crate) fn notify_changed(&self) {
        self.changed.notify_waiters();
    }

    /// Keeps a reply until the session is resumed. Returns its size, or `None` if too much is kept already.
    pub(super) fn keep_reply(&self, frame: &Bytes) -> Option<usize> {
        let mut kept = self.kept();
        if kept.reply_bytes + frame.len() > REPLY_BYTES_MAX {
            return None;
        }
        kept.reply_bytes += frame.len();
        kept.replies.push(frame.clone());
        Some(frame.len())
    }

    /// Removes and returns the kept replies, and their size.
    pub(super) fn take_replies(&self) -> (Vec<Bytes>, usize) {
        let mut kept = self.kept();
        (std::mem::take(&mut kept.replies), std::mem::take(&mut kept.reply_bytes))
    }

    /// Remembers a value under a key; `null` removes it.
    pub(crate) fn remember(&self, key: &str, value: Payload) -> Result<(), RememberError> {
        let remembered = &mut self.kept().remembered;
        if value.as_bytes() == b"null" {
            remembered.remove(key);
            return Ok(());
        }
        let others = remembered.iter().filter(|(other, _)| &***other != key);
        let bytes = others.map(|(key, value)| key.len() + value.as_bytes().len()).sum::<usize>()
            + key.len()
            + value.as_bytes().len();
        if bytes > REMEMBERED_BYTES_MAX {
            return Err(RememberError::TooLarge { bytes, max: REMEMBERED_BYTES_MAX });
        }
        remembered.insert(key.into(), value);
        Ok(())
    }

    pub(super) fn all_remembered(&self) -> BTreeMap<String, Payload> {
        self.kept().remembered.iter().map(|(key, value)| (key.to_string(), value.clone())).collect()
    }

    pub(crate) fn remembered(&self, key: &str) -> Option<Payload> {
        self.kept().remembered.get(key).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_can_be_claimed_once_and_only_the_last_one() {
        let state = ResumeState::default();
        assert!(!state.claim(1) && state.claim(0) && !state.claim(0) && state.claim(1));
        assert_eq!(state.epoch(), 2);
    }

    #[test]
    fn values_are_remembered_up_to_their_bound_and_null_removes_one() {
        let state = ResumeState::default();
        let value = |len: usize| Payload::of(&"x".repeat(len)).unwrap();
        state.remember("a", value(2000)).unwrap();
        state.remember("a", value(3000)).unwrap();
        let error = state.remember("b", value(2000)).unwrap_err();
        assert!(matches!(error, RememberError::TooLarge { bytes: 5006, max: 4096 }), "{error}");
        assert_eq!((state.remembered("a"), state.remembered("b")), (Some(value(3000)), None));
        state.remember("a", Payload::NULL).unwrap();
        state.remember("b", value(4000)).unwrap();
        assert_eq!(state.remembered("a"), None);
    }

    #[test]
    fn replies_are_kept_up_to_their_bound() {
        let state = ResumeState::default();
        let frame = Bytes::from(vec![0; REPLY_BYTES_MAX / 2]);
        assert_eq!(state.keep_reply(&frame), Some(frame.len()));
        assert_eq!(state.keep_reply(&frame), Some(frame.len()));
        assert_eq!(state.keep_reply(&Bytes::from_static(b"x")), None);
        assert_eq!(state.take_replies(), (vec![frame.clone(), frame], REPLY_BYTES_MAX));
        assert_eq!(state.take_replies(), (vec![], 0));
    }
}
