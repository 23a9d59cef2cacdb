//! Many small rooms, on one node or spread over many.

use anyhow::{Context, Result};
use tokio::time::timeout;

use crate::peer::Peer;
use crate::report::Report;
use crate::room::Room;
use crate::scenario::{Bench, all_at_once};
use crate::wait::PATIENCE;

/// Members per room.
const SEATS: usize = 10;

impl Bench {
    /// The senders of the rooms take turns. Unless rooms are together, the members of a room, and likewise the
    /// senders, are spread over the servers.
    pub(crate) async fn rooms(&self) -> Result<Report> {
        let rooms = self.connections(10_000)? / SEATS;
        let protocol = self.options.protocol;
        let mut members = all_at_once(rooms * SEATS, |number| {
            let (room, seat) = (number % rooms, number / rooms);
            let server = self.server(if self.options.together { room } else { room + seat });
            async move {
                let mut peer = Peer::connect(server, protocol, &protocol.path(None), number).await?;
                let joined = timeout(PATIENCE, peer.join(&name(room))).await;
                joined.with_context(|| format!("{server} does not answer a join"))??;
                anyhow::Ok((number, peer))
            }
        })
        .await?;
        members.sort_unstable_by_key(|(number, _)| *number);
        let mut senders: Vec<Peer> = members.into_iter().map(|(_, peer)| peer).collect();
        let receivers = senders.split_off(rooms);
        let mut room = Room::new(senders, receivers)?;
        room.settle().await?;
        let (rate, messages) = self.rate(500.0);
        let start = self.start()?;
        room.send_at_rate(messages, rate, |number| self.message_to(&name(number as usize % rooms))).await?;
        let deliveries = messages * (SEATS as u64 - 1);
        room.all_received(deliveries).await?;
        self.report_of_messages(messages, deliveries, start)
    }
}

fn name(room: usize) -> String {
    format!("room-{room}")
}
