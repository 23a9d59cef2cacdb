//! The moment at which a client enters its shard's member list: after it has read CONNECTED.
//!
//! Apps add their listener for member lists once `connect()` has resolved, which CONNECTED causes. Node delivers
//! all frames of one read before the app runs again, so a list in the same read would come before the listener.
//! For this reason a ping follows CONNECTED, and the client enters the list, and receives it, after its pong.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use switchboard_event::SocketId;
use switchboard_hub::Session;

use crate::node::Node;
use crate::protocols::koji::client_state::client_of;
use crate::protocols::koji::member_lists::MemberLists;

/// Payload of the ping behind CONNECTED.
const PING: &[u8] = b"connected";

/// The ping behind CONNECTED.
pub(crate) const PING_FRAME: &[u8] = b"\x89\x09connected";

/// Time from one round to the next.
const ROUND: Duration = Duration::from_millis(250);

/// A client that has not answered enters the list in the third round after it connected, that is after 500 to 750 ms.
const ROUNDS: usize = 3;

/// Enters the client into its member list if this pong answers the ping.
pub(crate) fn received_pong(node: &Arc<Node>, session: &Arc<Session>, payload: &[u8]) {
    if payload == PING {
        enter(node, session);
    }
}

fn enter(node: &Arc<Node>, session: &Arc<Session>) {
    let client = client_of(session).expect("every socket of this protocol has this state");
    if client.enter_list() {
        node.extension::<MemberLists>().join(node, client, session);
    }
}

/// The clients that have connected lately. One task serves all of them, and runs only while there are any.
#[derive(Default)]
pub(crate) struct NewClients(Mutex<Rounds>);

#[derive(Default)]
struct Rounds {
    /// By the number of rounds since they connected.
    clients: [Vec<SocketId>; ROUNDS],
    is_running: bool,
}

impl NewClients {
    fn lock(&self) -> MutexGuard<'_, Rounds> {
        self.0.lock().expect("no code that holds the rounds panics")
    }

    /// Adds a client that enters its member list after its pong, or without one in its last round.
    pub(crate) fn add(&self, node: &Arc<Node>, client: SocketId) {
        let mut rounds = self.lock();
        rounds.clients[0].push(client);
        if !std::mem::replace(&mut rounds.is_running, true) {
            node.tasks.spawn_service(run_rounds(node.clone()));
        }
    }
}

impl Rounds {
    /// Begins the next round. Returns the clients in their last one; `None` if there are no clients at all.
    fn next(&mut self) -> Option<Vec<SocketId>> {
        self.is_running = self.clients.iter().any(|clients| !clients.is_empty());
        let due = std::mem::take(&mut self.clients[ROUNDS - 1]);
        self.clients.rotate_right(1);
        self.is_running.then_some(due)
    }
}

async fn run_rounds(node: Arc<Node>) {
    loop {
        tokio::time::sleep(ROUND).await;
        let due = node.extension::<NewClients>().lock().next();
        let Some(due) = due else { return };
        for session in due.into_iter().filter_map(|id| node.hub().index().session(id)) {
            enter(&node, &session);
        }
    }
}

#[cfg(test)]
mod tests {
    use switchboard_ws::frame::{OpCode, encode};

    use super::*;

    #[test]
    fn the_ping_is_a_frame_with_its_payload() {
        assert_eq!(PING_FRAME, encode(OpCode::Ping, PING));
    }

    #[test]
    fn a_client_is_due_in_its_third_round_and_the_rounds_end_after_the_last_client() {
        let (mut rounds, ids) = (Rounds::default(), [0; 3].map(|_| SocketId::random()));
        let mut next = |joining: &[SocketId]| {
            rounds.clients[0].extend(joining);
            rounds.next()
        };
        assert_eq!(next(&ids[..2]), Some(vec![]));
        assert_eq!(next(&ids[2..]), Some(vec![]));
        assert_eq!(next(&[]).as_deref(), Some(&ids[..2]));
        assert_eq!(next(&[]).as_deref(), Some(&ids[2..]));
        assert_eq!(next(&[]), None);
        assert!(!rounds.is_running && rounds.clients.iter().all(|clients| clients.capacity() == 0));
    }
}
