//! The member lists of the shards that have a client on this node.
//!
//! A change is sent immediately if the last update is older than the interval; otherwise it is sent with
//! the changes of the rest of the interval. A hundred clients that connect together therefore do not cost
//! ten thousand lists. The interval grows with the bytes of the last update, so the bytes per second that a
//! client receives are bounded. A list is encoded once for all its receivers, and in the outbox of a client
//! that reads slowly it takes the place of the one that waits there. The clients of this node are in memory;
//! those of other nodes are read from the store after a change.

mod changes;
mod list;
mod remote;
mod update;
mod versions;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use switchboard_event::{Payload, ProjectId, ShardName};
use switchboard_hub::Session;

use crate::node::Node;
use crate::protocols::koji::client_state::ClientState;
use crate::protocols::koji::member_lists::list::{ListState, MemberList};
use crate::protocols::koji::member_lists::remote::RemoteMembers;

type Lists = HashMap<(ProjectId, ShardName), Arc<MemberList>>;

/// The lists of all shards that have a client on this node.
#[derive(Default)]
pub(crate) struct MemberLists {
    shards: Mutex<Lists>,
}

impl MemberLists {
    fn lock(&self) -> MutexGuard<'_, Lists> {
        self.shards.lock().expect("the lock is never held during a panic")
    }

    fn get(&self, project: &ProjectId, shard: &ShardName) -> Option<Arc<MemberList>> {
        self.lock().get(&(project.clone(), shard.clone())).cloned()
    }

    /// Adds a client of this node to its shard's list, unless it is there or has left the shard.
    pub(crate) fn join(&self, node: &Arc<Node>, client: &ClientState, session: &Arc<Session>) {
        let mut shards = self.lock();
        // Checked under the lock. A client that leaves is marked first and then takes this lock to remove itself from the list, so it
        // is either refused here or removed then.
        if !client.is_member() {
            return;
        }
        let list = list_of(&mut shards, node, client, session);
        let mut state = list.lock();
        if state.members.contains_key(&session.id) {
            return;
        }
        state.add_member(session);
        state.changes.join(session.id);
        list.update_soon(node, state);
    }

    /// Removes a client of this node from its shard's list.
    pub(crate) fn leave(&self, node: &Arc<Node>, shard: &ShardName, session: &Session) {
        let mut shards = self.lock();
        let key = (session.project.id.clone(), shard.clone());
        let Some(list) = shards.get(&key).cloned() else { return };
        let mut state = list.lock();
        let was_listed = state.remove_client(session.id);
        if state.is_unused() {
            shards.remove(&key);
        } else if was_listed {
            state.changes.leave(session.id);
            list.update_soon(node, state);
        }
    }

    /// Sends the whole list to a client with the next update.
    pub(crate) fn send_list(&self, node: &Arc<Node>, client: &ClientState, session: &Session) {
        let Some(list) = self.get(&session.project.id, &client.shard) else { return };
        let mut state = list.lock();
        if let Some(member) = state.members.get_mut(&session.id) {
            member.needs_list = true;
            list.update_soon(node, state);
        }
    }

    /// Sets the user info of a client, and sends it to the shard if the client is in the list. Does nothing and
    /// returns false if `is_accepted` refuses it, given how many bytes the user infos of all other clients of the
    /// shard have.
    pub(crate) fn set_user_info(
        &self,
        node: &Arc<Node>,
        client: &ClientState,
        session: &Session,
        user_info: &Payload,
        is_accepted: impl FnOnce(usize) -> bool,
    ) -> bool {
        let set = |list: &Arc<MemberList>, mut state: MutexGuard<'_, ListState>| {
            let is_accepted = is_accepted(state.info_bytes_without(session.id));
            if is_accepted {
                state.set_info_bytes(session.id, user_info.as_bytes().len());
                client.set_user_info(node, session, user_info.clone());
                if state.members.contains_key(&session.id) {
                    state.changes.update(session.id);
                    list.update_soon(node, state);
                }
            }
            is_accepted
        };
        if let Some(list) = self.get(&session.project.id, &client.shard) {
            let state = list.lock();
            if state.members.contains_key(&session.id) {
                return set(&list, state);
            }
        }
        // The client is not in the list yet. Its user info counts already.
        let mut shards = self.lock();
        if !client.is_member() {
            client.set_user_info(node, session, user_info.clone());
            return true;
        }
        let list = list_of(&mut shards, node, client, session);
        set(&list, list.lock())
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

/// The list of a client's shard, which is created if it does not exist.
fn list_of(shards: &mut Lists, node: &Node, client: &ClientState, session: &Session) -> Arc<MemberList> {
    let key = (session.project.id.clone(), client.shard.clone());
    if let Some(list) = shards.get(&key) {
        return list.clone();
    }
    let list = Arc::new(MemberList::new(node, key.0.clone(), key.1.clone(), client.settings.clone()));
    shards.insert(key, list.clone());
    list
}
