//! A named set of sockets: a room, a tag, a user's devices, or everyone of a project.
//!
//! The members stand densely in a vector, so a send walks memory in one direction; joining and
//! leaving are O(1). A group exists exactly while it has a member: the one who takes out the last
//! marks it dead, and who finds a dead one makes it anew.

use std::sync::{Arc, Mutex, MutexGuard};

use hashbrown::DefaultHashBuilder;
use indexmap::IndexMap;
use switchboard_event::{SocketId, Target};

use crate::{Project, Session};

type Members = IndexMap<SocketId, Arc<Session>, DefaultHashBuilder>;

pub(crate) struct MemberSet {
    pub(crate) project: Arc<Project>,
    pub(crate) target: Target,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    members: Members,
    dead: bool,
}

/// What a change of members did to the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// The socket was in, or out, already.
    None,
    /// It is in, or out, now.
    Done,
    /// It is out now and was the last: the group is dead.
    Emptied,
    /// Nothing was done: the group is dead. Find a living one.
    Dead,
}

impl MemberSet {
    pub(crate) fn new(project: Arc<Project>, target: Target) -> Self {
        MemberSet { project, target, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code that holds a group panics")
    }

    /// `first` runs under the lock when the group gets its first member, so that what it tells
    /// others keeps its order against [`remove`](Self::remove).
    pub(crate) fn insert(&self, session: &Arc<Session>, first: impl FnOnce()) -> Change {
        let mut state = self.lock();
        if state.dead {
            return Change::Dead;
        }
        if state.members.is_empty() {
            first();
        }
        match state.members.insert(session.id, session.clone()) {
            Some(_) => Change::None,
            None => Change::Done,
        }
    }

    /// `last` runs under the lock when the last member has left.
    pub(crate) fn remove(&self, id: SocketId, last: impl FnOnce()) -> Change {
        let mut state = self.lock();
        if state.members.swap_remove(&id).is_none() {
            return Change::None;
        }
        if state.members.is_empty() {
            state.dead = true;
            last();
            return Change::Emptied;
        }
        if state.members.capacity() > 4 * state.members.len().max(16) {
            state.members.shrink_to_fit();
        }
        Change::Done
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().members.len()
    }

    /// Calls `visit` for each member under the lock: it must be short and take no group's lock.
    pub(crate) fn for_each(&self, visit: impl FnMut(&Arc<Session>)) {
        self.lock().members.values().for_each(visit);
    }
}
