//! The clients of a shard on other nodes, and whether the store has to be read again.
//!
//! A notification of another node says that something changed; the store has the entries. It is read
//! before the next update, so a hundred changes elsewhere cost one read, as they cost one list here.

use bytes::Bytes;
use indexmap::IndexMap;
use switchboard_event::{NodeId, SocketId};

use crate::protocols::koji::member_entry::MemberEntry;
use crate::protocols::koji::member_lists::changes::Changes;

#[derive(Default)]
pub(crate) struct RemoteMembers {
    clients: IndexMap<SocketId, MemberEntry>,
    view: View,
    /// This node is subscribed to changes of the shard.
    pub(crate) is_subscribed: bool,
}

/// How the known clients relate to those in the store.
#[derive(Default, PartialEq, Eq)]
enum View {
    /// No change was notified since the last read.
    #[default]
    Current,
    /// The store is read before the next update.
    Stale,
    /// The store did not answer and is read again after a while; until then the known clients are sent.
    Failing,
}

impl RemoteMembers {
    /// No client is known, and there may be some.
    pub(crate) fn unknown() -> Self {
        RemoteMembers { view: View::Stale, ..RemoteMembers::default() }
    }

    pub(crate) fn clients(&self) -> impl Iterator<Item = &MemberEntry> {
        self.clients.values()
    }

    pub(crate) fn get(&self, id: &SocketId) -> Option<&MemberEntry> {
        self.clients.get(id)
    }

    pub(crate) fn is_stale(&self) -> bool {
        self.view == View::Stale
    }

    /// Something has changed. Returns true if that is new.
    pub(crate) fn changed(&mut self) -> bool {
        let is_new = self.view == View::Current;
        if is_new {
            self.view = View::Stale;
        }
        is_new
    }

    /// Notifications were lost, and may still be. Returns true as `changed` does.
    pub(crate) fn missed(&mut self) -> bool {
        self.is_subscribed = false;
        self.changed()
    }

    /// The store is read now, and has every change until now.
    pub(crate) fn begin_read(&mut self) {
        self.view = View::Current;
    }

    /// The store did not answer.
    pub(crate) fn read_failed(&mut self) {
        self.view = View::Failing;
    }

    /// The time to read again has come. Returns true if nobody has read in the meantime.
    pub(crate) fn may_read_again(&mut self) -> bool {
        let failing = self.view == View::Failing;
        if failing {
            self.view = View::Stale;
        }
        failing
    }

    /// Replaces the known clients by those of the store, and records the changes.
    pub(crate) fn replace(
        &mut self,
        this_node: NodeId,
        entries: &[(SocketId, Bytes)],
        changes: &mut Changes,
    ) {
        let others = entries.iter().filter(|(id, _)| id.node() != this_node);
        let clients: IndexMap<SocketId, MemberEntry> =
            others.filter_map(|(id, entry)| Some((*id, MemberEntry::read(*id, entry)?))).collect();
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
        self.clients = clients;
    }
}

#[cfg(test)]
mod tests {
    use switchboard_event::Payload;
    use switchboard_wire::koji;

    use super::*;

    fn said(id: SocketId, info: &str, last_ping_ms: u64) -> (SocketId, Bytes) {
        let client = koji::Client { id, user_info: Payload::parse(info).unwrap(), last_ping_ms };
        (id, MemberEntry { since_us: 1, client }.write())
    }

    #[test]
    fn a_change_of_the_user_info_alone_is_a_change() {
        let (node, mut elsewhere, mut changes) =
            (NodeId::random(), RemoteMembers::default(), Changes::default());
        let [ann, bob] = [0; 2].map(|_| SocketId::random());
        let mut learn = |list: &[(SocketId, Bytes)]| {
            elsewhere.replace(node, list, &mut changes);
            std::mem::take(&mut changes)
        };
        let own = said(SocketId::on(node), "{}", 1);
        let garbage = (SocketId::random(), Bytes::from_static(b"?"));
        let first = learn(&[said(ann, "{}", 1), own, garbage, said(bob, "{}", 1)]);
        assert!(first.joined.iter().eq([&ann, &bob]) && first.left.is_empty());
        assert!(learn(&[said(bob, "{}", 1), said(ann, "{}", 2)]).is_empty());
        let second = learn(&[said(ann, r#"{"name":"Ann"}"#, 3)]);
        assert!(second.updated.iter().eq([&ann]) && second.left.iter().eq([&bob]));
        assert!(second.joined.is_empty());
    }

    #[test]
    fn a_change_that_is_known_is_not_read_twice() {
        let mut elsewhere = RemoteMembers::unknown();
        assert!(!elsewhere.changed() && elsewhere.is_stale());
        elsewhere.begin_read();
        assert!(elsewhere.missed() && !elsewhere.missed());
        elsewhere.read_failed();
        assert!(!elsewhere.changed() && !elsewhere.is_stale(), "it is read again after a while");
        assert!(elsewhere.may_read_again() && !elsewhere.may_read_again());
    }
}
