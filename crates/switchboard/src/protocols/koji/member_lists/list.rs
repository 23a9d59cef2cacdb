//! The member list of one shard: collects changes, schedules updates and sends them to the clients.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use switchboard_event::{ProjectId, ShardName, SocketId};
use switchboard_hub::Session;
use switchboard_log::{limited, printable, printable_error};
use switchboard_wire::koji;

use crate::node::Node;
use crate::node::clock::now;
use crate::protocols::koji::client_state::client_of;
use crate::protocols::koji::member_entry::{MemberEntry, in_join_order};
use crate::protocols::koji::member_lists::changes::Changes;
use crate::protocols::koji::member_lists::remote::RemoteMembers;
use crate::protocols::koji::member_lists::update::{Update, has_room};

/// Delay before an update is sent again to clients whose outboxes had no room.
const RETRY_SEND: Duration = Duration::from_millis(100);

/// How long an update waits for the store. After that it contains the clients that are known.
const STORE_TIMEOUT: Duration = Duration::from_secs(1);

/// Delay before a store that did not answer is read again.
const RETRY_STORE: Duration = Duration::from_secs(1);

/// The member list of one shard.
pub(crate) struct MemberList {
    project: ProjectId,
    shard: ShardName,
    /// Shortest time between two updates.
    interval: Duration,
    state: Mutex<ListState>,
    /// Locked while an update is sent, so that updates are queued in their order.
    sending: Mutex<()>,
}

#[derive(Default)]
pub(crate) struct ListState {
    /// The clients of this node, in the order they joined.
    pub(crate) members: IndexMap<SocketId, Member>,
    pub(crate) remote: RemoteMembers,
    pub(crate) changes: Changes,
    /// Incremented by every update that has changes.
    version: u64,
    is_scheduled: bool,
    last_update: Option<Instant>,
}

pub(crate) struct Member {
    session: Arc<Session>,
    /// The client needs the whole list: it is new, requested the list, or missed an update.
    pub(crate) needs_list: bool,
}

impl Member {
    pub(crate) fn new(session: Arc<Session>) -> Self {
        Member { session, needs_list: true }
    }

    fn entry(&self) -> MemberEntry {
        let client = client_of(&self.session).expect("every member is a Koji client");
        client.entry(self.session.id)
    }
}

impl ListState {
    fn local_entries(&self) -> Vec<MemberEntry> {
        self.members.values().map(Member::entry).collect()
    }

    fn all_clients(&self) -> Vec<koji::Client> {
        in_join_order(self.local_entries(), self.remote.clients().cloned())
    }

    /// The clients with these ids, on any node.
    fn clients_of<'a>(&self, ids: impl IntoIterator<Item = &'a SocketId>) -> Vec<koji::Client> {
        let find = |id| {
            let local = self.members.get(id).map(Member::entry);
            local.or_else(|| self.remote.get(id).cloned()).map(|entry| entry.client)
        };
        ids.into_iter().filter_map(find).collect()
    }
}

impl MemberList {
    pub(crate) fn new(node: &Node, project: ProjectId, shard: ShardName, interval: Duration) -> Self {
        let remote =
            if node.has_shared_store() { RemoteMembers::unknown() } else { RemoteMembers::default() };
        let state = Mutex::new(ListState { remote, ..ListState::default() });
        MemberList { project, shard, interval, state, sending: Mutex::default() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, ListState> {
        self.state.lock().expect("the lock is never held during a panic")
    }

    /// Records a change among the clients of other nodes. If `record` returns true, an update reads them.
    pub(crate) fn record_remote(self: &Arc<Self>, node: &Arc<Node>, record: fn(&mut RemoteMembers) -> bool) {
        let mut state = self.lock();
        if record(&mut state.remote) {
            self.update_soon(node, state);
        }
    }

    /// Schedules an update for the end of the interval, unless one is scheduled already.
    pub(crate) fn update_soon(self: &Arc<Self>, node: &Arc<Node>, state: MutexGuard<'_, ListState>) {
        self.update_after(Duration::ZERO, node, state);
    }

    /// Schedules an update at the end of the interval, but at least `delay_min` after the last update.
    fn update_after(
        self: &Arc<Self>,
        delay_min: Duration,
        node: &Arc<Node>,
        mut state: MutexGuard<'_, ListState>,
    ) {
        if std::mem::replace(&mut state.is_scheduled, true) {
            return;
        }
        let elapsed = state.last_update.map(|at| now().saturating_duration_since(at));
        let wait =
            elapsed.map_or(Duration::ZERO, |elapsed| self.interval.max(delay_min).saturating_sub(elapsed));
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
        let _guard = self.sending.lock().expect("the lock is never held during a panic");
        let (update, must_repeat) = self.take_update(node);
        let missed = update.send(node);
        let mut state = self.lock();
        for id in &missed {
            if let Some(member) = state.members.get_mut(id) {
                member.needs_list = true;
            }
        }
        if must_repeat || !missed.is_empty() {
            self.update_after(RETRY_SEND, node, state);
        }
    }

    /// Takes the contents and receivers of an update. Returns true if another update must follow, because
    /// an outbox has no room or a client of another node has changed in the meantime.
    fn take_update(&self, node: &Node) -> (Update, bool) {
        let mut state = self.lock();
        let ListState { members, remote, changes, version, is_scheduled, last_update } = &mut *state;
        (*is_scheduled, *last_update) = (false, Some(now()));
        let changes = std::mem::take(changes);
        *version += u64::from(!changes.is_empty());
        let mut update = Update { version: *version, ..Update::default() };
        let mut must_repeat = remote.is_stale() && !members.is_empty();
        for member in members.values_mut() {
            let client = client_of(&member.session).expect("every member is a Koji client");
            if changes.is_empty() && !member.needs_list {
                continue;
            }
            if !has_room(&member.session, 0, node) {
                (member.needs_list, must_repeat) = (true, true);
                continue;
            }
            let receivers = match (client.wants_changes, std::mem::take(&mut member.needs_list)) {
                (false, _) => &mut update.list_receivers,
                (true, true) => &mut update.versioned_list_receivers,
                (true, false) => &mut update.changes_receivers,
            };
            receivers.push(member.session.clone());
        }
        if !update.list_receivers.is_empty() || !update.versioned_list_receivers.is_empty() {
            update.clients = state.all_clients();
        }
        if !update.changes_receivers.is_empty() {
            (update.joined, update.updated) =
                (state.clients_of(&changes.joined), state.clients_of(&changes.updated));
            update.left = changes.left.into_iter().collect();
        }
        (update, must_repeat)
    }

    /// Reads the clients of other nodes if they may have changed. Only a scheduled update calls this, so
    /// one read runs at a time.
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
            // The subscription must be active before the read, or a later change would go unnoticed.
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
                Err(elapsed) => Some(elapsed.into()),
            };
        if let Some(error) = failure {
            limited!(
                DEBUG,
                project = printable(&self.project),
                shard = printable(&self.shard),
                error = printable_error(&*error),
                "cannot read the shard's clients of other nodes; the member list may be outdated"
            );
            self.lock().remote.is_subscribed &= is_subscribed;
            self.schedule_retry(node);
        }
    }

    fn schedule_retry(self: &Arc<Self>, node: &Arc<Node>) {
        self.lock().remote.read_failed();
        let (list, node) = (self.clone(), node.clone());
        node.tasks.clone().spawn_service(async move {
            tokio::time::sleep(RETRY_STORE).await;
            let mut state = list.lock();
            if state.remote.retry_due() {
                list.update_soon(&node, state);
            }
        });
    }
}
