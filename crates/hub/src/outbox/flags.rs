//! A mutex with flags of its content that are read without the lock: a connection reads them in every turn.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard};

/// A state with flags.
pub(super) trait Flagged {
    fn flags(&self) -> u8;
}

pub(super) struct FlaggedMutex<S> {
    /// The flags of the state when it was last unlocked.
    flags: AtomicU8,
    state: Mutex<S>,
}

/// The locked state. Copies the flags before it is unlocked.
pub(super) struct Locked<'a, S: Flagged> {
    state: MutexGuard<'a, S>,
    flags: &'a AtomicU8,
}

impl<S: Flagged> FlaggedMutex<S> {
    pub(super) fn new(state: S) -> Self {
        FlaggedMutex { flags: AtomicU8::new(state.flags()), state: Mutex::new(state) }
    }

    #[inline]
    pub(super) fn lock(&self) -> Locked<'_, S> {
        let state = self.state.lock().expect("no code that holds an outbox panics");
        Locked { state, flags: &self.flags }
    }

    /// Returns true if a flag is set.
    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags.load(Ordering::Acquire) & flag != 0
    }
}

impl<S: Flagged> Deref for Locked<'_, S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.state
    }
}

impl<S: Flagged> DerefMut for Locked<'_, S> {
    fn deref_mut(&mut self) -> &mut S {
        &mut self.state
    }
}

impl<S: Flagged> Drop for Locked<'_, S> {
    #[inline]
    fn drop(&mut self) {
        self.flags.store(self.state.flags(), Ordering::Release);
    }
}
