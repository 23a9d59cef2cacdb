//! Sessions and memberships.

use std::any::Any;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use switchboard_event::{Audience, OverflowPolicy, ProjectId, Protocol, SocketId, Target};

use super::{Hub, NewSession};
use crate::member_set::{Change, MemberSet};
use crate::outbox::Transport;
use crate::resolve;
use crate::session::{JoinError, Membership, Session};

impl Hub {
    /// Adds a socket. It receives every send to everyone from then on.
    pub fn add(&self, new_session: NewSession) -> Arc<Session> {
        let NewSession { id, project, protocol, wants_positions, transport, connection_state, greeting } =
            new_session;
        let project = self.index.enter_project(&project);
        let session =
            Arc::new(Session::new(id, project, protocol, wants_positions, transport, connection_state));
        if let Some(frame) = greeting {
            session.outbox.mark_flush_scheduled();
            self.deliver_frame(&session, &frame, OverflowPolicy::Live);
        }
        session.membership().open = true;
        self.index.insert(&session);
        self.enter(&session, &Target::Everyone);
        session
    }

    /// A session without a socket, for hooks about the server itself. It has no memberships, and frames to it
    /// are dropped.
    pub fn placeholder_session(
        &self,
        project: &ProjectId,
        protocol: Protocol,
        connection_state: Box<dyn Any + Send + Sync>,
    ) -> Arc<Session> {
        let project = self.index.enter_project(project);
        self.index.leave_project(&project);
        let id = SocketId::on(self.bus.node());
        let session = Session::new(id, project, protocol, false, Arc::new(NoTransport), connection_state);
        session.outbox.detach();
        Arc::new(session)
    }

    /// Removes a socket and ends its memberships. Does nothing the second time.
    pub fn remove(&self, session: &Arc<Session>) {
        let sets = {
            let mut membership = session.membership();
            if !std::mem::take(&mut membership.open) {
                return;
            }
            std::mem::take(&mut membership.sets)
        };
        for set in &sets {
            self.exit(session.id, set);
            self.notify_membership(session, &sets, &set.target, false);
        }
        if let Some(everyone) = self.index.member_set(&session.project, &Target::Everyone) {
            self.exit(session.id, &everyone);
        }
        self.index.remove(session.id);
        let unsent = session.outbox.detach();
        self.delivery.stats.unsent.fetch_add(unsent as u64, Ordering::Relaxed);
        self.index.leave_project(&session.project);
    }

    /// Keeps the session of a connection that has ended, with its memberships. Frames for it are dropped until
    /// [`attach`](Self::attach).
    pub fn detach(&self, session: &Session) {
        let unsent = session.outbox.suspend();
        self.delivery.stats.unsent.fetch_add(unsent as u64, Ordering::Relaxed);
    }

    /// Gives a detached session a new connection. The caller must flush the outbox. Returns false while the last flush
    /// through the old connection is running.
    pub fn attach(&self, session: &Session, transport: &Arc<dyn Transport>) -> bool {
        session.outbox.attach(transport)
    }

    /// Adds a socket to a room, a tag or a user. Returns false if it was a member already, so that callers
    /// announce a join once, and for [`Target::Everyone`] and sockets, which cannot be joined.
    pub fn join(&self, session: &Arc<Session>, target: &Target) -> Result<bool, JoinError> {
        if matches!(target, Target::Everyone | Target::Socket(_)) {
            return Ok(false);
        }
        let mut membership = session.membership();
        if !membership.open {
            return Err(JoinError::Closed);
        }
        if membership.sets.iter().any(|set| set.target == *target) {
            return Ok(false);
        }
        self.check_bounds(&membership, target)?;
        let set = self.enter(session, target);
        membership.sets.push(set);
        self.notify_membership(session, &membership.sets, target, true);
        Ok(true)
    }

    /// Checks the bounds on the memberships of one socket.
    fn check_bounds(&self, membership: &Membership, target: &Target) -> Result<(), JoinError> {
        let max = self.memberships_max.load(Ordering::Relaxed);
        if membership.sets.len() >= max {
            return Err(JoinError::TooMany { max });
        }
        let max = self.membership_bytes_max.load(Ordering::Relaxed);
        let bytes: usize = membership.sets.iter().map(|set| set.target.name_len()).sum();
        if bytes + target.name_len() > max {
            return Err(JoinError::TooManyBytes { max });
        }
        Ok(())
    }

    /// Removes a socket from a target. Returns false if it was not a member.
    pub fn leave(&self, session: &Arc<Session>, target: &Target) -> bool {
        let mut membership = session.membership();
        let Some(position) = membership.sets.iter().position(|set| set.target == *target) else {
            return false;
        };
        let set = membership.sets.remove(position);
        if let Target::Room(room) = target {
            session.outbox.forget_lag(room);
        }
        self.exit(session.id, &set);
        self.notify_membership(session, &membership.sets, target, false);
        true
    }

    /// Removes all local sockets from a target, for instance from a user that is set offline. Returns how many.
    pub fn clear(&self, project: &ProjectId, target: &Target) -> usize {
        let members = self.members(project, &target.clone().into());
        members.iter().filter(|session| self.leave(session, target)).count()
    }

    /// The local sockets of an audience, each once.
    pub fn members(&self, project: &ProjectId, audience: &Audience) -> Vec<Arc<Session>> {
        let mut members = Vec::new();
        resolve::for_each_session(&self.index, project, audience, |session| members.push(session.clone()));
        members
    }

    fn enter(&self, session: &Arc<Session>, target: &Target) -> Arc<MemberSet<Session>> {
        let project = &session.project;
        loop {
            let set = self.index.member_set_or_new(project, target);
            let mut is_first = false;
            let subscribe = || {
                is_first = true;
                self.bus.subscribe(&project.id, target);
            };
            match set.insert(session.id, session, subscribe) {
                // The thread that emptied the set has yet to remove it from the index; remove it now.
                Change::Dead => self.index.forget(&set),
                _ => {
                    if is_first {
                        self.room_begins(&project.id, target);
                    }
                    self.store.entered(&project.id, target, session.id);
                    return set;
                }
            }
        }
    }

    fn exit(&self, id: SocketId, set: &Arc<MemberSet<Session>>) {
        let project = &set.project.id;
        match set.remove(id, || self.bus.unsubscribe(project, &set.target)) {
            Change::None | Change::Dead => return,
            Change::Done => {}
            Change::Emptied => {
                self.room_ends(project, &set.target);
                self.index.forget(set);
            }
        }
        self.store.left(project, &set.target, id);
    }
}

/// The transport of a session without a socket.
struct NoTransport;

impl Transport for NoTransport {
    fn send(&self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::NotConnected.into())
    }

    fn wake_owner(&self) {}
}
