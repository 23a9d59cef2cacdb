//! The entry of one client in a member list, its encoding in the store, and the order of a list.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use switchboard_event::{Payload, SocketId};
use switchboard_wire::koji;

/// A client and the time at which it connected.
#[derive(Debug, Clone)]
pub(crate) struct MemberEntry {
    /// In microseconds since 1970, by the clock of the client's node.
    pub(crate) connected_us: u64,
    pub(crate) client: koji::Client,
}

/// The encoding of an entry in the store.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredEntry<D> {
    user_info: D,
    last_ping: u64,
    since: u64,
}

impl MemberEntry {
    pub(crate) fn to_bytes(&self) -> Bytes {
        let koji::Client { user_info, last_ping_ms, .. } = &self.client;
        let stored = StoredEntry { user_info, last_ping: *last_ping_ms, since: self.connected_us };
        serde_json::to_vec(&stored).expect("numbers and payloads are valid JSON").into()
    }

    /// Decodes an entry that another node has written; `None` if it is invalid.
    pub(crate) fn from_bytes(id: SocketId, description: &Bytes) -> Option<Self> {
        let StoredEntry { user_info, last_ping, since } =
            serde_json::from_slice::<StoredEntry<&RawValue>>(description).ok()?;
        // Clients expect the user info of others to be an object.
        let user_info =
            user_info.get().starts_with('{').then(|| Payload::slice_of(description, user_info))?;
        Some(MemberEntry {
            connected_us: since,
            client: koji::Client { id, user_info, last_ping_ms: last_ping },
        })
    }
}

/// Sorts the clients of a shard by the time at which they connected. The order is the same on all nodes.
pub(crate) fn in_join_order(
    mut local: Vec<MemberEntry>,
    remote: impl IntoIterator<Item = MemberEntry>,
) -> Vec<koji::Client> {
    local.extend(remote);
    local.sort_by_key(|entry| (entry.connected_us, entry.client.id));
    local.into_iter().map(|entry| entry.client).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: SocketId, connected_us: u64) -> MemberEntry {
        let user_info = Payload::parse("{\"name\": \"Ann\"}").unwrap();
        MemberEntry { connected_us, client: koji::Client { id, user_info, last_ping_ms: 7 } }
    }

    #[test]
    fn a_written_entry_can_be_read_by_another_node() {
        let id = SocketId::random();
        let read = MemberEntry::from_bytes(id, &entry(id, 5).to_bytes()).unwrap();
        assert_eq!((read.connected_us, read.client.id, read.client.last_ping_ms), (5, id, 7));
        assert_eq!(read.client.user_info.to::<serde_json::Value>().unwrap()["name"], "Ann");
        for other in ["", "{}", "[]", r#"{"userInfo":[],"lastPing":1,"since":1}"#] {
            assert!(MemberEntry::from_bytes(id, &Bytes::from(other)).is_none(), "{other}");
        }
    }

    #[test]
    fn the_clients_of_all_nodes_are_in_the_order_in_which_they_connected() {
        let [a, b, c] = [0; 3].map(|_| SocketId::random());
        let ids = |clients: Vec<koji::Client>| clients.iter().map(|client| client.id).collect::<Vec<_>>();
        let local = || vec![entry(a, 1), entry(b, 3)];
        assert_eq!(ids(in_join_order(local(), [entry(c, 2)])), [a, c, b]);
        assert_eq!(ids(in_join_order(local(), [])), [a, b]);
    }
}
