//! The local members of a target: a room, a tag, a user, or everyone of a project.
//!
//! Members are stored densely in a vector, so a send reads memory sequentially; join and leave are O(1). A set
//! exists while it has a member. Removing the last one marks it dead, and a join that finds a dead set creates
//! a new one.

use std::sync::{Arc, Mutex, MutexGuard};

use hashbrown::DefaultHashBuilder;
use indexmap::IndexMap;
use switchboard_event::{SocketId, Target};

use crate::project::Project;

/// `S` is the session type. The parameter keeps this file below `session`, which holds its sets.
pub(crate) struct MemberSet<S> {
    pub(crate) project: Arc<Project>,
    pub(crate) target: Target,
    state: Mutex<State<S>>,
}

struct State<S> {
    members: IndexMap<SocketId, Arc<S>, DefaultHashBuilder>,
    dead: bool,
}

/// The effect of an insertion or removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing changed: the socket already was, or was not, a member.
    None,
    /// The socket was inserted or removed.
    Done,
    /// The last socket was removed; the set is dead.
    Emptied,
    /// Nothing changed: the set is dead. Look it up again.
    Dead,
}

impl<S> MemberSet<S> {
    pub(crate) fn new(project: Arc<Project>, target: Target) -> Self {
        MemberSet { project, target, state: Mutex::new(State { members: IndexMap::default(), dead: false }) }
    }

    fn lock(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().expect("no code that holds a member set panics")
    }

    /// Inserts a session. `on_first` runs under the lock before the first member is inserted, so its effects are
    /// ordered with those of [`remove`](Self::remove).
    pub(crate) fn insert(&self, id: SocketId, session: &Arc<S>, on_first: impl FnOnce()) -> Change {
        let mut state = self.lock();
        if state.dead {
            return Change::Dead;
        }
        if state.members.is_empty() {
            on_first();
        }
        match state.members.insert(id, session.clone()) {
            Some(_) => Change::None,
            None => Change::Done,
        }
    }

    /// Removes a session. `on_last` runs under the lock after the last member is removed.
    pub(crate) fn remove(&self, id: SocketId, on_last: impl FnOnce()) -> Change {
        let mut state = self.lock();
        if state.members.swap_remove(&id).is_none() {
            return Change::None;
        }
        if state.members.is_empty() {
            state.dead = true;
            on_last();
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

    /// Calls `visit` for each member under the lock: it must be short and take no other member set's lock.
    pub(crate) fn for_each(&self, visit: impl FnMut(&Arc<S>)) {
        self.lock().members.values().for_each(visit);
    }
}
