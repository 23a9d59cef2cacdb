//! The sessions of a node that can be resumed: their tickets, those that are detached, and their kept replies.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use metrics::{Counter, Gauge, counter, gauge};
use switchboard_backplane::KeepSessions;
use switchboard_event::{ProjectId, SocketId};
use switchboard_hub::Session;
use switchboard_ws::CloseCode;
use tokio::sync::{Notify, Semaphore};

use super::detached::{Detached, DetachedSessions};
use super::options::Resuming;
use super::session_state::ResumeState;
use super::ticket::{Ticket, TicketKey};
use crate::node::clock::now;
use crate::node::connection_state::ConnectionState;
use crate::node::ending_session::EndingSession;

/// The sessions of a node that can be resumed.
pub(crate) struct ResumableSessions {
    pub(super) options: Resuming,
    key: TicketKey,
    detached: Mutex<DetachedSessions>,
    /// Notified when a detached session is closed.
    closed: Notify,
    reply_bytes: AtomicUsize,
    /// Bounds the calls for sessions of other nodes.
    pub(super) moves: Semaphore,
    /// Bounds the clients that wait for the end of another node.
    pub(super) waits: Semaphore,
    detached_now: Gauge,
    pub(super) resumed: Counter,
    pub(super) ended: Counter,
    pub(super) moved: Counter,
    full: Counter,
}

/// Calls of this node for sessions of other nodes that are under way. One more client gets a new session.
const MOVES_MAX: usize = 512;

/// What the client of a session receives in `@session`.
pub(crate) struct Offer {
    pub(crate) ticket: String,
    pub(crate) seconds: u64,
}

impl ResumableSessions {
    /// `None` if sessions are not kept.
    pub(crate) fn new(options: Resuming) -> Option<Self> {
        let outcome = |outcome| counter!("switchboard_detached_sessions_total", "outcome" => outcome);
        (!options.keep.is_zero()).then(|| ResumableSessions {
            key: TicketKey::generate(),
            detached: Mutex::default(),
            closed: Notify::new(),
            reply_bytes: AtomicUsize::new(0),
            moves: Semaphore::new(MOVES_MAX),
            waits: Semaphore::new(options.sessions_max.min(Semaphore::MAX_PERMITS)),
            detached_now: gauge!("switchboard_detached_sessions"),
            resumed: outcome("resumed"),
            ended: outcome("ended"),
            moved: outcome("moved"),
            full: outcome("full"),
            options,
        })
    }

    /// Bounds of the sessions of dead nodes that the store keeps.
    pub(crate) fn bounds(&self) -> KeepSessions {
        KeepSessions { keep: self.options.keep, sessions_max: self.options.sessions_max }
    }

    fn detached(&self) -> MutexGuard<'_, DetachedSessions> {
        self.detached.lock().expect("no code that holds the detached sessions panics")
    }

    /// Makes a ticket for a session, which can be resumed from now on.
    pub(crate) fn offer(&self, state: &ConnectionState, session: SocketId, project: &ProjectId) -> Offer {
        let resume = state.resume_or_new();
        resume.offer();
        Offer { ticket: self.ticket(resume, session, project), seconds: self.options.keep.as_secs() }
    }

    /// The current ticket of a session.
    pub(super) fn ticket(&self, state: &ResumeState, session: SocketId, project: &ProjectId) -> String {
        self.key.issue(Ticket { session, epoch: state.epoch() }, project)
    }

    /// Reads a ticket that this node has issued for the project.
    pub(super) fn read(&self, text: &str, project: &ProjectId) -> Option<Ticket> {
        Ticket::read(text).filter(|_| self.key.verify(text, project))
    }

    /// Adds a detached session. `begin` is called if there is room, before anybody can take the session; if it returns a
    /// code, the session is closed with that.
    pub(super) fn insert(
        &self,
        ending: EndingSession,
        had_token: bool,
        code: u16,
        now: Instant,
        begin: impl FnOnce(&Session) -> Option<CloseCode>,
    ) -> Result<(), EndingSession> {
        let mut table = self.detached();
        if table.len() >= self.options.sessions_max {
            self.full.increment(1);
            return Err(ending);
        }
        let session = ending.session.clone();
        let closed_with = begin(&session);
        state_of(&session).set_detached(true);
        table.insert(Detached::new(ending, had_token, code, now + self.options.keep));
        if let Some(code) = closed_with
            && table.close(session.id, code.0, "")
        {
            self.closed.notify_one();
        }
        self.detached_now.set(table.len() as f64);
        Ok(())
    }

    pub(super) fn take(&self, id: SocketId) -> Option<Detached> {
        self.take_by(|table| table.take(id))
    }

    pub(super) fn take_ended(&self, now: Instant) -> Option<Detached> {
        self.take_by(|table| table.take_ended(now))
    }

    pub(super) fn take_any(&self) -> Option<Detached> {
        self.take_by(DetachedSessions::take_any)
    }

    fn take_by(&self, take: impl FnOnce(&mut DetachedSessions) -> Option<Detached>) -> Option<Detached> {
        let mut table = self.detached();
        let taken = take(&mut table)?;
        self.detached_now.set(table.len() as f64);
        state_of(&taken.ending.session).set_detached(false);
        Some(taken)
    }

    /// Ends a detached session soon. Returns false if it is not detached.
    pub(crate) fn close(&self, session: &Session, code: u16, reason: &str) -> bool {
        let is_detached = ConnectionState::of(session).resume().is_some_and(ResumeState::is_detached);
        let is_closed = is_detached && self.detached().close(session.id, code, reason);
        if is_closed {
            self.closed.notify_one();
        }
        is_closed
    }

    /// For how long a session has been detached; `None` if it is not.
    pub(crate) fn detached_for(&self, session: &Session) -> Option<Duration> {
        let is_detached = ConnectionState::of(session).resume().is_some_and(ResumeState::is_detached);
        let expires = if is_detached { self.detached().expiry_of(session.id) } else { None };
        expires.map(|expires| self.options.keep.saturating_sub(expires.saturating_duration_since(now())))
    }

    /// Completes when a detached session is closed.
    pub(super) async fn closed(&self) {
        self.closed.notified().await;
    }

    /// Keeps a reply for a detached session. Returns false if the session is not detached, or at a bound.
    pub(crate) fn keep_reply(&self, session: &Session, frame: &Bytes) -> bool {
        let is_full = self.reply_bytes.load(Ordering::Relaxed) + frame.len() > self.options.reply_bytes_max;
        let Some(state) = ConnectionState::of(session).resume() else { return false };
        if is_full || !state.is_detached() {
            return false;
        }
        let kept = state.keep_reply(frame);
        self.reply_bytes.fetch_add(kept.unwrap_or(0), Ordering::Relaxed);
        kept.is_some()
    }

    /// Removes and returns the replies that were kept for a session.
    pub(crate) fn take_replies(&self, session: &Session) -> Vec<Bytes> {
        let (replies, bytes) = state_of(session).take_replies();
        self.reply_bytes.fetch_sub(bytes, Ordering::Relaxed);
        replies
    }
}

/// The state of a session with a ticket.
pub(super) fn state_of(session: &Session) -> &ResumeState {
    ConnectionState::of(session).resume_or_new()
}
