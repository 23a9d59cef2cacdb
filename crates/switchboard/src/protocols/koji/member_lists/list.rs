//! The member list of one shard, and its updates to the shard's clients.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use switchboard_event::{ProjectId, ShardName, SocketId};
use switchboard_hub::Session;
use switchboard_wire::koji;

use crate::node::Node;
use crate::node::clock::now;
use crate::protocols::koji::client_state::client_of;
use crate::protocols::koji::member_entry::{MemberEntry, in_join_order};
use crate::protocols::koji::member_lists::changes::Changes;
use crate::protocols::koji::member_lists::remote::RemoteMembers;
use crate::protocols::koji::member_lists::update::{Update, has_room};

/// When clients whose outboxes had no room are tried again.
const RETRY_SEND: Duration = Duration::from_millis(100);

/// How long an update waits for the store; then the known clients are sent.
const STORE_TIMEOUT: Duration = Duration::from_secs(1);

/// When a store that did not answer is read again.
const RETRY_STORE: Duration = Duration::from_secs(1);

/// The list of one shard.
pub(crate) struct MemberList {
    project: ProjectId,
    shard: ShardName,
    /// How long changes are gathered.
    interval: Duration,
    state: Mutex<ListState>,
    /// Held during an update, so that lists arrive in their order.
    updating: Mutex<()>,
}

#[derive(Default)]
pub(crate) struct ListState {
    /// The clients of this node, in the order they joined.
    pub(crate) members: IndexMap<SocketId, Member>,
    pub(crate) remote: RemoteMembers,
    pub(crate) changes: Changes,
    /// Grows with every update that has changes.
    version: u64,
    /// An update is scheduled.
    is_due: bool,
    updated: Option<Instant>,
}

pub(crate) struct Member {
    session: Arc<Session>,
    /// It needs the whole list: it is new, requested it, or missed an update.
    pub(crate) is_behind: bool,
}

impl Member {
    pub(crate) fn new(session: Arc<Session>) -> Self {
        Member { session, is_behind: true }
    }

    fn described(&self) -> MemberEntry {
        let client = client_of(&self.session).expect("every member is a Koji client");
        client.entry(self.session.id)
    }
}

impl ListState {
    fn here(&self) -> Vec<MemberEntry> {
        self.members.values().map(Member::described).collect()
    }

    fn everyone(&self) -> Vec<koji::Client> {
        in_join_order(self.here(), self.remote.clients().cloned())
    }

    /// The clients of some ids that are on the shard, on any node.
    fn some<'a>(&self, ids: impl IntoIterator<Item = &'a SocketId>) -> Vec<koji::Client> {
        let find = |id| {
            let here = self.members.get(id).map(Member::described);
            here.or_else(|| self.remote.get(id).cloned()).map(|described| described.client)
        };
        ids.into_iter().filter_map(find).collect()
    }
}

impl MemberList {
    pub(crate) fn new(node: &Node, project: ProjectId, shard: ShardName, interval: Duration) -> Self {
        let remote =
            if node.has_shared_store() { RemoteMembers::unknown() } else { RemoteMembers::default() };
        let state = Mutex::new(ListState { remote, ..ListState::default() });
        MemberList { project, shard, interval, state, updating: Mutex::default() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, ListState> {
        self.state.lock().expect("no code that holds a member list panics")
    }

    /// The clients of this node.
    pub(crate) fn here(&self) -> Vec<MemberEntry> {
        self.lock().here()
    }

    /// Records a change among the clients of other nodes, and has the store read.
    pub(crate) fn note_remote(self: &Arc<Self>, node: &Arc<Node>, note: fn(&mut RemoteMembers) -> bool) {
        let mut state = self.lock();
        if note(&mut state.remote) {
            self.update_soon(node, state);
        }
    }

    /// Schedules an update for the end of the interval, unless one is scheduled.
    pub(crate) fn update_soon(self: &Arc<Self>, node: &Arc<Node>, state: MutexGuard<'_, ListState>) {
        self.update_after(Duration::ZERO, node, state);
    }

    /// Schedules an update for the end of the interval, or of `least` if that is longer.
    fn update_after(
        self: &Arc<Self>,
        least: Duration,
        node: &Arc<Node>,
        mut state: MutexGuard<'_, ListState>,
    ) {
        if std::mem::replace(&mut state.is_due, true) {
            return;
        }
        let since = state.updated.map(|updated| now().saturating_duration_since(updated));
        let wait = since.map_or(Duration::ZERO, |since| self.interval.max(least).saturating_sub(since));
        let (list, node) = (self.clone(), node.clone());
        node.tasks.clone().spawn(async move {
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            list.read_remote(&node).await;
            list.update(&node);
        });
    }

    fn update(self: &Arc<Self>, node: &Arc<Node>) {
        let _turn = self.updating.lock().expect("no update panics");
        let (update, again) = self.take_update(node);
        let missed = update.send(node);
        let mut state = self.lock();
        for id in &missed {
            if let Some(member) = state.members.get_mut(id) {
                member.is_behind = true;
            }
        }
        if again || !missed.is_empty() {
            self.update_after(RETRY_SEND, node, state);
        }
    }

    /// Takes the contents of an update and its receivers. Returns true if another has to follow: an
    /// outbox has no room now, or a client of another node has changed in the meantime.
    fn take_update(&self, node: &Node) -> (Update, bool) {
        let mut state = self.lock();
        let ListState { members, remote, changes, version, is_due, updated } = &mut *state;
        (*is_due, *updated) = (false, Some(now()));
        let changes = std::mem::take(changes);
        *version += u64::from(!changes.is_empty());
        let mut update = Update { version: *version, ..Update::default() };
        let mut again = remote.is_stale() && !members.is_empty();
        for member in members.values_mut() {
            let client = client_of(&member.session).expect("every member is a Koji client");
            if changes.is_empty() && !member.is_behind {
                continue;
            }
            if !has_room(&member.session, 0, node) {
                (member.is_behind, again) = (true, true);
                continue;
            }
            let receivers = match (client.changes, std::mem::take(&mut member.is_behind)) {
                (false, _) => &mut update.to_all,
                (true, true) => &mut update.to_new,
                (true, false) => &mut update.to_watchers,
            };
            receivers.push(member.session.clone());
        }
        if !update.to_all.is_empty() || !update.to_new.is_empty() {
            update.clients = state.everyone();
        }
        if !update.to_watchers.is_empty() {
            (update.joined, update.updated) = (state.some(&changes.joined), state.some(&changes.updated));
            update.left = changes.left.into_iter().collect();
        }
        (update, again)
    }

    /// Reads the clients of other nodes, if they may have changed. Only the scheduled update does, so one
    /// read runs at a time.
    async fn read_remote(self: &Arc<Self>, node: &Arc<Node>) {
        let is_subscribed = {
            let mut state = self.lock();
            if state.members.is_empty() || !state.remote.is_stale() {
                return;
            }
            state.remote.begin_read();
            std::mem::replace(&mut state.remote.is_subscribed, true)
        };
        let (bus, store) = (node.hub().bus(), node.hub().store());
        let read = async {
            // A change after the answer has to be notified, or it would never be read.
            if !is_subscribed {
                bus.settled().await;
            }
            store.descriptions(&self.project, &self.shard).await
        };
        let failure: Option<Box<dyn std::error::Error>> =
            match tokio::time::timeout(STORE_TIMEOUT, read).await {
                Ok(Ok(entries)) => {
                    let state = &mut *self.lock();
                    state.remote.replace(bus.node(), &entries, &mut state.changes);
                    None
                }
                Ok(Err(error)) => Some(error.into()),
                Err(late) => Some(late.into()),
            };
        if let Some(error) = failure {
            tracing::debug!(project = %self.project, shard = %self.shard, error = &*error, "cannot read a shard's clients of other nodes; the list may be out of date");
            self.lock().remote.is_subscribed &= is_subscribed;
            self.read_later(node);
        }
    }

    fn read_later(self: &Arc<Self>, node: &Arc<Node>) {
        self.lock().remote.read_failed();
        let (list, node) = (self.clone(), node.clone());
        node.tasks.clone().spawn_service(async move {
            tokio::time::sleep(RETRY_STORE).await;
            let mut state = list.lock();
            if state.remote.may_read_again() {
                list.update_soon(&node, state);
            }
        });
    }
}
