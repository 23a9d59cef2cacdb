//! Many clients connect as fast as possible and stay.
//!
//! Koji clients get automatic shards. In the end the scenario checks that no shard has more clients than seats
//! and that the last member list of every client is right. The same scenario over emit gives the cost of a
//! connection alone.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use anyhow::{Context, Error, Result, ensure};
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::sync::mpsc;
use tokio::task::spawn_local;

use crate::frame_parser::Part;
use crate::peer::Peer;
use crate::protocol::Protocol;
use crate::protocol::SHARD_SEATS;
use crate::report::Report;
use crate::scenario::{Bench, all_at_once};
use crate::text::Text;
use crate::wait::{quiet, unless_broken};

impl Bench {
    pub(crate) async fn joins(&self) -> Result<Report> {
        let count = self.connections(10_000)?;
        let protocol = self.options.protocol;
        let (fault, mut broken) = mpsc::channel(1);
        let received = Rc::new(Cell::new(0));
        let start = self.start()?;
        let clients = all_at_once(count, |number| {
            let (server, fault, received) = (self.server(number), fault.clone(), received.clone());
            async move {
                let peer = Peer::dial(server, protocol, &protocol.path(None), number).await?;
                Client::join(peer, received, fault).await
            }
        })
        .await?;
        let last_message = unless_broken(&mut broken, quiet(|| received.get())).await?;
        let since = start.since;
        let report = self.report(count as u64, start)?;
        if protocol == Protocol::Koji {
            check(&clients)?;
        }
        Ok(Report { seconds: (last_message - since).as_secs_f64(), ..report })
    }
}

/// The messages one client received.
#[derive(Default)]
struct Client {
    /// The client's shard.
    first: Option<Vec<u8>>,
    /// The members of the shard.
    last: Text,
}

impl Client {
    /// Starts a task that receives until the connection ends; returns as soon as the server is ready.
    async fn join(
        mut peer: Peer,
        received: Rc<Cell<u64>>,
        fault: mpsc::Sender<Error>,
    ) -> Result<Rc<RefCell<Self>>> {
        let client = Rc::new(RefCell::new(Client::default()));
        peer.ready(|part| client.borrow_mut().receive(part)).await?;
        let listening = client.clone();
        spawn_local(async move {
            loop {
                match peer.receive(|part| listening.borrow_mut().receive(part)).await {
                    Ok(more) => received.set(received.get() + more.bytes as u64),
                    Err(error) => break fault.try_send(error.context("a connection ended")),
                }
            }
        });
        Ok(client)
    }

    fn receive(&mut self, part: Part<'_>) {
        if let (Some(message), None) = (self.last.take(part), &self.first) {
            self.first = Some(message.to_vec());
        }
    }

    fn place(&self) -> Result<Place> {
        let first = self.first.as_ref().context("a client received no message")?;
        Ok(serde_json::from_slice::<Message<_>>(first)
            .context("the first message of a client does not name its shard")?
            .payload)
    }

    fn list(&self) -> Result<HashSet<String>> {
        let list: Message<List> = serde_json::from_slice(self.last.bytes())
            .context("the last message of a client is not a member list")?;
        Ok(list.payload.connected_clients.into_keys().collect())
    }
}

#[derive(Deserialize)]
struct Message<T> {
    payload: T,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    client_id: String,
    shard_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    connected_clients: HashMap<String, IgnoredAny>,
}

/// Fails unless the clients are on as few shards as possible and every client has the exact list of its own.
fn check(clients: &[Rc<RefCell<Client>>]) -> Result<()> {
    let places: Vec<Place> = clients.iter().map(|client| client.borrow().place()).collect::<Result<_>>()?;
    let mut shards = HashMap::<_, HashSet<String>>::new();
    for place in &places {
        shards.entry(&place.shard_name).or_default().insert(place.client_id.clone());
    }
    let fullest = shards.values().map(HashSet::len).max().unwrap_or(0);
    ensure!(fullest <= SHARD_SEATS, "a shard has {fullest} clients but {SHARD_SEATS} seats");
    let fewest = clients.len().div_ceil(SHARD_SEATS);
    ensure!(shards.len() == fewest, "{} shards, where {fewest} are enough", shards.len());
    for (client, place) in clients.iter().zip(&places) {
        let (list, shard) = (client.borrow().list()?, &shards[&place.shard_name]);
        let (listed, there) = (list.len(), shard.len());
        ensure!(list == *shard, "a client's last list has {listed} clients, its shard {there}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client on a shard, whose list has `members` entries including its own.
    fn client(id: usize, shard: &str, listed: std::ops::Range<usize>) -> Rc<RefCell<Client>> {
        let list: Vec<_> = listed.map(|id| format!(r#""c{id}":{{"userInfo":{{}},"lastPing":1}}"#)).collect();
        let list = format!(r#"{{"payload":{{"connectedClients":{{{}}}}}}}"#, list.join(","));
        let mut client = Client::default();
        for message in [format!(r#"{{"payload":{{"clientId":"c{id}","shardName":"{shard}"}}}}"#), list] {
            let (bytes, len) = (message.as_bytes(), message.len() as u64);
            client.receive(Part { opcode: 1, len, begins: true, ends: true, bytes });
        }
        Rc::new(RefCell::new(client))
    }

    fn wrong(clients: impl Iterator<Item = Rc<RefCell<Client>>>) -> String {
        check(&clients.collect::<Vec<_>>()).unwrap_err().to_string()
    }

    #[test]
    fn a_wrong_shard_or_member_list_fails_the_check() {
        let right = (0..100).map(|id| client(id, "a", 0..100)).chain([client(100, "b", 100..101)]);
        check(&right.collect::<Vec<_>>()).unwrap();
        assert_eq!(
            wrong((0..101).map(|id| client(id, "a", 0..101))),
            "a shard has 101 clients but 100 seats"
        );
        let apart = [client(0, "a", 0..1), client(1, "b", 1..2)];
        assert_eq!(wrong(apart.into_iter()), "2 shards, where 1 are enough");
        let late = [client(0, "a", 0..2), client(1, "a", 1..2)];
        assert_eq!(wrong(late.into_iter()), "a client's last list has 1 clients, its shard 2");
        let other = [client(0, "a", 0..2), client(1, "a", 1..3)];
        assert_eq!(wrong(other.into_iter()), "a client's last list has 2 clients, its shard 2");
    }
}
