//! The member list of one shard: collects changes, schedules updates and sends them to the clients.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use switchboard_event::{ProjectId, ShardName, SocketId};
use switchboard_hub::{Session, Slot};
use switchboard_log::{limited, printable, printable_error};
use switchboard_wire::koji;

use crate::node::Node;
use crate::node::clock::now;
use crate::protocols::koji::client_state::client_of;
use crate::protocols::koji::member_entry::{MemberEntry, in_join_order};
use crate::protocols::koji::member_lists::changes::Changes;
use crate::protocols::koji::member_lists::remote::RemoteMembers;
use crate::protocols::koji::member_lists::update::Update;
use crate::protocols::koji::member_lists::versions::Versions;
use crate::protocols::koji::options::KojiSettings;

/// How long an update waits for the store. After that it contains the clients that are known.
const STORE_TIMEOUT: Duration = Duration::from_secs(1);

/// Delay before a store that did not answer is read again.
const RETRY_STORE: Duration = Duration::from_secs(1);

/// The member list of one shard.
pub(crate) struct MemberList {
    project: ProjectId,
    shard: ShardName,
    settings: Arc<KojiSettings>,
    state: Mutex<ListState>,
    /// Locked while an update is sent, so that updates are queued in their order.
    sending: Mutex<Versions>,
}

#[derive(Default)]
pub(crate) struct ListState {
    /// The clients of this node, in the order they joined.
    pub(crate) members: IndexMap<SocketId, Member>,
    /// Bytes of the user infos of clients of this node that are not in the list yet.
    arriving: HashMap<SocketId, usize>,
    /// Bytes of the user infos of both.
    info_bytes: usize,
    pub(crate) remote: RemoteMembers,
    pub(crate) changes: Changes,
    /// Incremented by every update that has changes.
    version: u64,
    is_scheduled: bool,
    /// Bytes that were read from the store since the last update.
    read_bytes: usize,
    /// When the next update may be sent; `None` before the first.
    next_update: Option<Instant>,
}

pub(crate) struct Member {
    session: Arc<Session>,
    info_bytes: usize,
    /// The client needs the whole list: it is new, requested the list, or missed an update.
    pub(crate) needs_list: bool,
}

impl Member {
    fn entry(&self) -> MemberEntry {
        let client = client_of(&self.session).expect("every member is a Koji client");
        client.entry(self.session.id)
    }
}

impl ListState {
    pub(crate) fn add_member(&mut self, session: &Arc<Session>) {
        let info_bytes = self.arriving.remove(&session.id).unwrap_or_default();
        let member = Member { session: session.clone(), info_bytes, needs_list: true };
        self.members.insert(session.id, member);
    }

    /// Removes a client. Returns false if it was not in the list.
    pub(crate) fn remove_client(&mut self, id: SocketId) -> bool {
        self.set_info_bytes(id, 0);
        self.arriving.remove(&id);
        self.members.swap_remove(&id).is_some()
    }

    /// Returns true if the list has no client of this node.
    pub(crate) fn is_unused(&self) -> bool {
        self.members.is_empty() && self.arriving.is_empty()
    }

    /// Records the size of a client's user info.
    pub(crate) fn set_info_bytes(&mut self, id: SocketId, bytes: usize) {
        let known = match self.members.get_mut(&id) {
            Some(member) => &mut member.info_bytes,
            None => self.arriving.entry(id).or_default(),
        };
        self.info_bytes = self.info_bytes - *known + bytes;
        *known = bytes;
    }

    /// How many bytes the user infos of all other clients have together, on all nodes as far as known.
    pub(crate) fn info_bytes_without(&self, id: SocketId) -> usize {
        let listed = self.members.get(&id).map(|member| member.info_bytes);
        let own = listed.or_else(|| self.arriving.get(&id).copied()).unwrap_or_default();
        self.info_bytes - own + self.remote.info_bytes()
    }

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

    /// Takes the contents and receivers of an update.
    fn take_update(&mut self) -> Update {
        let changes = std::mem::take(&mut self.changes);
        self.version += u64::from(!changes.is_empty());
        let mut update = Update { version: self.version, ..Update::default() };
        for member in self.members.values_mut() {
            if changes.is_empty() && !member.needs_list {
                continue;
            }
            let client = client_of(&member.session).expect("every member is a Koji client");
            if !client.sees_members() {
                // It receives the whole list when it may see it.
                member.needs_list = false;
                continue;
            }
            let wants_changes = client.wants_changes;
            let needs_list = std::mem::take(&mut member.needs_list);
            let receivers = match wants_changes {
                false => &mut update.list_receivers,
                // A list that waits in the outbox is replaced by one that contains the changes.
                true if needs_list || member.session.outbox.has_waiting(Slot::State) => {
                    &mut update.versioned_list_receivers
                }
                true => &mut update.changes_receivers,
            };
            receivers.push(member.session.clone());
        }
        if !update.list_receivers.is_empty() || !update.versioned_list_receivers.is_empty() {
            update.clients = self.all_clients();
        }
        if !update.changes_receivers.is_empty() {
            (update.joined, update.updated) =
                (self.clients_of(&changes.joined), self.clients_of(&changes.updated));
            update.left = changes.left.into_iter().collect();
        }
        update
    }
}

impl MemberList {
    pub(crate) fn new(
        node: &Node,
        project: ProjectId,
        shard: ShardName,
        settings: Arc<KojiSettings>,
    ) -> Self {
        let remote =
            if node.has_shared_store() { RemoteMembers::unknown() } else { RemoteMembers::default() };
        let state = Mutex::new(ListState { remote, ..ListState::default() });
        MemberList { project, shard, settings, state, sending: Mutex::default() }
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
    pub(crate) fn update_soon(self: &Arc<Self>, node: &Arc<Node>, mut state: MutexGuard<'_, ListState>) {
        if std::mem::replace(&mut state.is_scheduled, true) {
            return;
        }
        let wait = state.next_update.map(|at| at.saturating_duration_since(now())).unwrap_or_default();
        let (list, node) = (self.clone(), node.clone());
        node.tasks.clone().spawn_service(async move {
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            list.read_remote(&node).await;
            list.update(&node);
        });
    }

    fn update(self: &Arc<Self>, node: &Arc<Node>) {
        let mut versions = self.sending.lock().expect("the lock is never held during a panic");
        let update = {
            let mut state = self.lock();
            let update = state.take_update();
            let bytes = update.bytes().max(std::mem::take(&mut state.read_bytes));
            state.next_update = Some(now() + self.settings.member_list_pause(bytes));
            state.is_scheduled = false;
            update
        };
        let missed = update.send(node, &mut versions);
        self.close_slowest(node, &mut versions);
        let mut state = self.lock();
        for id in &missed {
            if let Some(member) = state.members.get_mut(id) {
                member.needs_list = true;
            }
        }
        let has_changed = state.remote.is_stale() && !state.members.is_empty();
        if has_changed || !missed.is_empty() {
            self.update_soon(node, state);
        }
    }

    /// Closes the clients that hold the oldest versions, if the versions exceed their bound.
    fn close_slowest(&self, node: &Node, versions: &mut Versions) {
        let excess = versions.excess(self.settings.member_list_held_bytes_max);
        if excess.is_empty() {
            return;
        }
        let sessions: Vec<Arc<Session>> =
            self.lock().members.values().map(|member| member.session.clone()).collect();
        let is_slow = |session: &&Arc<Session>| {
            let mut is_slow = false;
            session.outbox.for_each_frame(|frame| is_slow |= excess.contains(&(frame.as_ptr() as usize)));
            is_slow
        };
        for session in sessions.iter().filter(is_slow) {
            limited!(
                DEBUG,
                socket = %session.id,
                "client has not read a member list for long; it is closed with 1013"
            );
            node.hub().close_overflowed(session);
        }
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
                    state.read_bytes = entries.iter().map(|(_, entry)| entry.len()).sum();
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
