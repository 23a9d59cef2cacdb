//! A client as the nodes of its shard know it: how it stands in a list, and where.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use switchboard_event::{Payload, SocketId};
use switchboard_wire::koji;

/// A client and when it came.
#[derive(Debug, Clone)]
pub(crate) struct MemberEntry {
    /// By the clock of its node, in microseconds since 1970.
    pub(crate) since_us: u64,
    pub(crate) client: koji::Client,
}

/// How it is written for other nodes.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written<D> {
    user_info: D,
    last_ping: u64,
    since: u64,
}

impl MemberEntry {
    pub(crate) fn write(&self) -> Bytes {
        let koji::Client { user_info, last_ping_ms, .. } = &self.client;
        let written = Written { user_info, last_ping: *last_ping_ms, since: self.since_us };
        serde_json::to_vec(&written).expect("numbers and payloads are JSON").into()
    }

    /// Reads what another node wrote; none if it wrote something else.
    pub(crate) fn read(id: SocketId, description: &Bytes) -> Option<Self> {
        let Written { user_info, last_ping, since } =
            serde_json::from_slice::<Written<&RawValue>>(description).ok()?;
        // Everyone's clients are promised an object.
        let user_info =
            user_info.get().starts_with('{').then(|| Payload::slice_of(description, user_info))?;
        Some(MemberEntry { since_us: since, client: koji::Client { id, user_info, last_ping_ms: last_ping } })
    }
}

/// The clients of a list, in the order they came. All nodes have the same, so that whoever is first
/// is first everywhere.
pub(crate) fn in_join_order(
    mut here: Vec<MemberEntry>,
    elsewhere: impl IntoIterator<Item = MemberEntry>,
) -> Vec<koji::Client> {
    here.extend(elsewhere);
    here.sort_by_key(|described| (described.since_us, described.client.id));
    here.into_iter().map(|described| described.client).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(id: SocketId, since_us: u64) -> MemberEntry {
        let user_info = Payload::parse("{\"name\": \"Ann\"}").unwrap();
        MemberEntry { since_us, client: koji::Client { id, user_info, last_ping_ms: 7 } }
    }

    #[test]
    fn another_node_reads_what_one_wrote() {
        let id = SocketId::random();
        let read = MemberEntry::read(id, &described(id, 5).write()).unwrap();
        assert_eq!((read.since_us, read.client.id, read.client.last_ping_ms), (5, id, 7));
        assert_eq!(read.client.user_info.to::<serde_json::Value>().unwrap()["name"], "Ann");
        for other in ["", "{}", "[]", r#"{"userInfo":[],"lastPing":1,"since":1}"#] {
            assert!(MemberEntry::read(id, &Bytes::from(other)).is_none(), "{other}");
        }
    }

    #[test]
    fn clients_of_all_nodes_stand_in_the_order_they_came() {
        let [a, b, c] = [0; 3].map(|_| SocketId::random());
        let ids = |clients: Vec<koji::Client>| clients.iter().map(|client| client.id).collect::<Vec<_>>();
        let here = || vec![described(a, 1), described(b, 3)];
        assert_eq!(ids(in_join_order(here(), [described(c, 2)])), [a, c, b]);
        assert_eq!(ids(in_join_order(here(), [])), [a, b]);
    }
}
