//! The clients of a shard on other nodes, and whether they must be read from the store again.
//!
//! A notification of another node only signals a change; the entries are in the store. They are read
//! before the next update, so a hundred changes on other nodes cost one read.

use bytes::Bytes;
use indexmap::IndexMap;
use switchboard_event::{NodeId, SocketId};

use crate::protocols::koji::member_entry::MemberEntry;
use crate::protocols::koji::member_lists::changes::Changes;

#[derive(Default)]
pub(crate) struct RemoteMembers {
    clients: IndexMap<SocketId, MemberEntry>,
    /// Bytes of their user infos.
    info_bytes: usize,
    view: View,
    /// This node is subscribed to changes of the shard.
    pub(crate) is_subscribed: bool,
}

/// The relation of the known clients to those in the store.
#[derive(Default, PartialEq, Eq)]
enum View {
    /// No change was reported since the last read.
    #[default]
    Current,
    /// The store is read before the next update.
    Stale,
    /// The store did not answer. It is read again after a delay; until then the known clients are sent.
    Failing,
}

impl RemoteMembers {
    /// No clients are known yet, and the store must be read.
    pub(crate) fn unknown() -> Self {
        RemoteMembers { view: View::Stale, ..RemoteMembers::default() }
    }

    pub(crate) fn clients(&self) -> impl Iterator<Item = &MemberEntry> {
        self.clients.values()
    }

    pub(crate) fn get(&self, id: &SocketId) -> Option<&MemberEntry> {
        self.clients.get(id)
    }

    /// How many bytes their user infos have together.
    pub(crate) fn info_bytes(&self) -> usize {
        self.info_bytes
    }

    pub(crate) fn is_stale(&self) -> bool {
        self.view == View::Stale
    }

    /// Records that a client has changed. Returns true if an update must be scheduled.
    pub(crate) fn changed(&mut self) -> bool {
        let is_new = self.view == View::Current;
        if is_new {
            self.view = View::Stale;
        }
        is_new
    }

    /// Records that notifications were lost, and that the subscription may be inactive. Returns true if an
    /// update must be scheduled.
    pub(crate) fn missed(&mut self) -> bool {
        self.is_subscribed = false;
        self.changed()
    }

    /// Records that the store is being read, which includes every change so far.
    pub(crate) fn begin_read(&mut self) {
        self.view = View::Current;
    }

    /// Records that the store did not answer.
    pub(crate) fn read_failed(&mut self) {
        self.view = View::Failing;
    }

    /// Called after the delay that follows a failed read. Returns true if no read has begun since.
    pub(crate) fn retry_due(&mut self) -> bool {
        let is_failing = self.view == View::Failing;
        if is_failing {
            self.view = View::Stale;
        }
        is_failing
    }

    /// Replaces the known clients with those of the store and records the differences.
    pub(crate) fn replace(
        &mut self,
        this_node: NodeId,
        entries: &[(SocketId, Bytes)],
        changes: &mut Changes,
    ) {
        let others = entries.iter().filter(|(id, _)| id.node() != this_node);
        let clients: IndexMap<SocketId, MemberEntry> =
            others.filter_map(|(id, entry)| Some((*id, MemberEntry::from_bytes(*id, entry)?))).collect();
        for id in self.clients.keys().filter(|id| !clients.contains_key(*id)) {
            changes.leave(*id);
        }
        for (id, now) in &clients {
            match self.clients.get(id) {
                None => changes.join(*id),
                Some(known) if known.client.user_info != now.client.user_info => changes.update(*id),
                Some(_) => {}
            }
        }
        self.info_bytes = clients.values().map(|entry| entry.client.user_info.as_bytes().len()).sum();
        self.clients = clients;
    }
}

#[cfg(test)]
mod tests {
    use switchboard_event::Payload;
    use switchboard_wire::koji;

    use super::*;

    fn stored(id: SocketId, info: &str, last_ping_ms: u64) -> (SocketId, Bytes) {
        let client = koji::Client { id, user_info: Payload::parse(info).unwrap(), last_ping_ms };
        (id, MemberEntry { connected_us: 1, client }.to_bytes())
    }

    #[test]
    fn only_a_changed_user_info_makes_an_entry_a_changed_one() {
        let (node, mut remote, mut changes) =
            (NodeId::random(), RemoteMembers::default(), Changes::default());
        let [ann, bob] = [0; 2].map(|_| SocketId::random());
        let mut replace = |list: &[(SocketId, Bytes)]| {
            remote.replace(node, list, &mut changes);
            std::mem::take(&mut changes)
        };
        let own = stored(SocketId::on(node), "{}", 1);
        let invalid = (SocketId::random(), Bytes::from_static(b"?"));
        let first = replace(&[stored(ann, "{}", 1), own, invalid, stored(bob, "{}", 1)]);
        assert!(first.joined.iter().eq([&ann, &bob]) && first.left.is_empty());
        assert!(replace(&[stored(bob, "{}", 1), stored(ann, "{}", 2)]).is_empty());
        let second = replace(&[stored(ann, r#"{"name":"Ann"}"#, 3)]);
        assert!(second.updated.iter().eq([&ann]) && second.left.iter().eq([&bob]));
        assert!(second.joined.is_empty());
        assert_eq!(remote.info_bytes(), r#"{"name":"Ann"}"#.len());
    }

    #[test]
    fn a_change_before_the_scheduled_read_schedules_no_further_read() {
        let mut remote = RemoteMembers::unknown();
        assert!(!remote.changed() && remote.is_stale());
        remote.begin_read();
        assert!(remote.missed() && !remote.missed());
        remote.read_failed();
        assert!(!remote.changed() && !remote.is_stale(), "a failed read is repeated after a delay only");
        assert!(remote.retry_due() && !remote.retry_due());
    }
}
