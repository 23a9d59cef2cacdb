//! What the protocol keeps with a connection.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use switchboard_event::{Payload, ShardName, SocketId};
use switchboard_hub::Session;
use switchboard_wire::koji;

use crate::node::Node;
use crate::node::clock::now_ms;
use crate::node::conn::Conn;
use crate::protocols::koji::connect_params::ConnectParams;
use crate::protocols::koji::member_entry::MemberEntry;
use crate::protocols::koji::options::KojiSettings;
use crate::protocols::koji::rules::ProjectRules;

/// The protocol's state of a connection.
pub(crate) struct ClientState {
    pub(crate) shard: ShardName,
    pub(crate) settings: Arc<KojiSettings>,
    pub(crate) rules: Arc<ProjectRules>,
    /// It wants changes of the member list in place of the whole list.
    pub(crate) changes: bool,
    since_us: u64,
    about: Mutex<About>,
    last_activity_ms: AtomicU64,
    tokens: Mutex<Tokens>,
}

/// What other clients see of a client.
struct About {
    info: Payload,
    /// It is on its shard, so other nodes may know of it.
    is_there: bool,
}

impl ClientState {
    pub(crate) fn new(ticket: &ConnectParams, shard: ShardName, entry: &MemberEntry) -> Self {
        let MemberEntry { since_us, client } = entry;
        ClientState {
            shard,
            settings: ticket.settings.clone(),
            rules: ticket.rules.clone(),
            changes: ticket.changes,
            since_us: *since_us,
            about: Mutex::new(About { info: client.user_info.clone(), is_there: false }),
            last_activity_ms: AtomicU64::new(client.last_ping_ms),
            tokens: Mutex::default(),
        }
    }

    /// Records that bytes arrived.
    pub(crate) fn record_activity(&self) {
        self.last_activity_ms.store(now_ms(), Ordering::Relaxed);
    }

    pub(crate) fn info(&self) -> Payload {
        self.about().info.clone()
    }

    pub(crate) fn set_info(&self, node: &Node, session: &Session, info: Payload) {
        self.change(node, session, |about| about.info = info);
    }

    /// Sets whether other nodes may know of it.
    pub(crate) fn set_there(&self, node: &Node, session: &Session, is_there: bool) {
        self.change(node, session, |about| about.is_there = is_there);
    }

    /// Changes what others see of it, and writes that to the store.
    fn change(&self, node: &Node, session: &Session, change: impl FnOnce(&mut About)) {
        let mut about = self.about();
        change(&mut about);
        if about.is_there && node.has_shared_store() {
            // Under the lock, so that the last write is the last change, and none follows its leaving.
            let description = self.described(session.id, &about).write();
            node.hub().store().describe(&session.project.id, &self.shard, session.id, description);
        }
    }

    fn about(&self) -> MutexGuard<'_, About> {
        self.about.lock().expect("no code that holds what is told of a client panics")
    }

    pub(crate) fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().expect("no code that holds the tokens panics")
    }

    /// Its entry in a member list.
    pub(crate) fn entry(&self, id: SocketId) -> MemberEntry {
        self.described(id, &self.about())
    }

    fn described(&self, id: SocketId, about: &About) -> MemberEntry {
        let (user_info, last_ping_ms) = (about.info.clone(), self.last_activity_ms.load(Ordering::Relaxed));
        MemberEntry { since_us: self.since_us, client: koji::Client { id, user_info, last_ping_ms } }
    }
}

/// Tokens of one client that wait to be verified, one after the other.
#[derive(Default)]
pub(crate) struct Tokens {
    pub(crate) waiting: VecDeque<String>,
    pub(crate) is_busy: bool,
}

/// The Koji client of a session; `None` for other protocols.
pub(crate) fn client_of(session: &Session) -> Option<&ClientState> {
    Conn::of(session).protocol()
}
