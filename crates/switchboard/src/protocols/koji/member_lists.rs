//! The member lists of the shards that have a client on this node.
//!
//! A change is sent immediately if the last update is older than the interval; otherwise it is sent with
//! the changes of the rest of the interval. A hundred clients that connect together therefore do not cost
//! ten thousand lists. A list is encoded once for all its receivers. A client with a full outbox misses
//! updates, but never the last one. The clients of this node are in memory; those of other nodes are read
//! from the store after a change.

mod changes;
mod list;
mod remote;
mod update;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use switchboard_event::{Payload, ProjectId, ShardName};
use switchboard_hub::Session;

use crate::node::Node;
use crate::protocols::koji::client_state::ClientState;
use crate::protocols::koji::member_lists::list::{ListState, Member, MemberList};
use crate::protocols::koji::member_lists::remote::RemoteMembers;

/// The lists of all shards that have a client on this node.
#[derive(Default)]
pub(crate) struct MemberLists {
    shards: Mutex<HashMap<(ProjectId, ShardName), Arc<MemberList>>>,
}

impl MemberLists {
    fn lock(&self) -> MutexGuard<'_, HashMap<(ProjectId, ShardName), Arc<MemberList>>> {
        self.shards.lock().expect("the lock is never held during a panic")
    }

    fn get(&self, project: &ProjectId, shard: &ShardName) -> Option<Arc<MemberList>> {
        self.lock().get(&(project.clone(), shard.clone())).cloned()
    }

    /// Adds a client of this node to its shard's list, unless it is there or has left the shard.
    pub(crate) fn join(&self, node: &Arc<Node>, client: &ClientState, session: &Arc<Session>) {
        let mut shards = self.lock();
        // Asked under the lock, which a client that leaves takes afterwards.
        if !client.is_member() {
            return;
        }
        let project = &session.project.id;
        let interval = client.settings.member_list_interval;
        let new_list = || Arc::new(MemberList::new(node, project.clone(), client.shard.clone(), interval));
        let list = shards.entry((project.clone(), client.shard.clone())).or_insert_with(new_list).clone();
        let mut state = list.lock();
        if state.members.contains_key(&session.id) {
            return;
        }
        state.members.insert(session.id, Member::new(session.clone()));
        state.changes.join(session.id);
        list.update_soon(node, state);
    }

    /// Removes a client of this node from its shard's list.
    pub(crate) fn leave(&self, node: &Arc<Node>, shard: &ShardName, session: &Session) {
        let mut shards = self.lock();
        let key = (session.project.id.clone(), shard.clone());
        let Some(list) = shards.get(&key).cloned() else { return };
        let mut state = list.lock();
        if state.members.swap_remove(&session.id).is_none() {
            return;
        }
        if state.members.is_empty() {
            shards.remove(&key);
            return;
        }
        state.changes.leave(session.id);
        list.update_soon(node, state);
    }

    /// Sends the whole list to a client with the next update.
    pub(crate) fn send_list(&self, node: &Arc<Node>, client: &ClientState, session: &Session) {
        self.change(node, client, session, |state| {
            if let Some(member) = state.members.get_mut(&session.id) {
                member.needs_list = true;
            }
        });
    }

    fn change(
        &self,
        node: &Arc<Node>,
        client: &ClientState,
        session: &Session,
        change: impl FnOnce(&mut ListState),
    ) {
        let Some(list) = self.get(&session.project.id, &client.shard) else { return };
        let mut state = list.lock();
        if state.members.contains_key(&session.id) {
            change(&mut state);
            list.update_soon(node, state);
        }
    }

    /// Schedules an update after a client of another node has joined, left or changed.
    pub(crate) fn remote_member_changed(&self, node: &Arc<Node>, project: &ProjectId, shard: &ShardName) {
        if let Some(list) = self.get(project, shard) {
            list.record_remote(node, RemoteMembers::changed);
        }
    }

    /// Schedules an update of all lists after notifications of other nodes were lost.
    pub(crate) fn publications_missed(&self, node: &Arc<Node>) {
        let lists: Vec<Arc<MemberList>> = self.lock().values().cloned().collect();
        for list in lists {
            list.record_remote(node, RemoteMembers::missed);
        }
    }
}

/// Sets the user info of a client and sends it to the other clients of the shard.
pub(crate) fn set_user_info(node: &Arc<Node>, client: &ClientState, session: &Session, user_info: Payload) {
    client.set_user_info(node, session, user_info);
    node.extension::<MemberLists>().change(node, client, session, |state| state.changes.update(session.id));
}
