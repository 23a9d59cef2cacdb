//! Sessions of the console: random tokens, of which the node remembers the digests.
//!
//! A session ends with its time, with the sign-out, with its key, and with the process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use ring::digest::SHA256;
use ring::rand::{SecureRandom, SystemRandom};
use switchboard_backplane::Digest;
use tokio::time::Instant;

/// Most open sessions. Another one ends the one that would end first.
const SESSIONS_MAX: usize = 256;

/// The open sessions of a node.
pub(super) struct Sessions {
    /// By the digests of their tokens.
    open: Mutex<HashMap<Digest, Session>>,
    lasts: Duration,
}

/// An open session.
#[derive(Clone, Copy)]
pub(super) struct Session {
    /// The digest of its key.
    pub(super) key: Digest,
    pub(super) ends_at: Instant,
}

impl Session {
    /// Time left in whole seconds, rounded up.
    pub(super) fn seconds_left(&self) -> u64 {
        let left = self.ends_at.saturating_duration_since(Instant::now());
        left.as_millis().div_ceil(1000) as u64
    }
}

impl Sessions {
    pub(super) fn new(lasts: Duration) -> Self {
        Sessions { open: Mutex::default(), lasts }
    }

    /// Opens a session and returns it with its token.
    pub(super) fn open(&self, key: Digest) -> (String, Session) {
        let mut bytes = [0; 32];
        SystemRandom::new().fill(&mut bytes).expect("the system has random numbers");
        let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let session = Session { key, ends_at: Instant::now() + self.lasts };
        let mut open = self.lock();
        open.retain(|_, session| session.ends_at > Instant::now());
        if open.len() >= SESSIONS_MAX
            && let Some(first) =
                open.iter().min_by_key(|(_, session)| session.ends_at).map(|(token, _)| *token)
        {
            open.remove(&first);
        }
        open.insert(digest(&token), session);
        (token, session)
    }

    pub(super) fn find(&self, token: &str) -> Option<Session> {
        self.lock().get(&digest(token)).filter(|session| session.ends_at > Instant::now()).copied()
    }

    pub(super) fn end(&self, token: &str) {
        self.lock().remove(&digest(token));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Session>> {
        self.open.lock().expect("no code that holds the sessions panics")
    }
}

fn digest(token: &str) -> Digest {
    ring::digest::digest(&SHA256, token.as_bytes()).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Digest = [7; 32];

    #[tokio::test(start_paused = true)]
    async fn a_session_ends_with_its_time_and_with_the_sign_out() {
        let sessions = Sessions::new(Duration::from_secs(60));
        let [(first, _), (second, _)] = [sessions.open(KEY), sessions.open(KEY)];
        assert_ne!(first, second);
        sessions.end(&first);
        assert!(sessions.find(&first).is_none());
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(
            sessions.find(&second).map(|session| (session.key, session.seconds_left())),
            Some((KEY, 1))
        );
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(sessions.find(&second).is_none() && sessions.find("").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_more_than_the_bound_ends_the_oldest_one() {
        let sessions = Sessions::new(Duration::from_secs(600));
        let mut tokens = Vec::new();
        for _ in 0..=SESSIONS_MAX {
            tokens.push(sessions.open(KEY).0);
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert!(sessions.find(&tokens[0]).is_none());
        assert!(tokens[1..].iter().all(|token| sessions.find(token).is_some()));
        assert_eq!(sessions.lock().len(), SESSIONS_MAX);
    }
}
