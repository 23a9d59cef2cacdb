//! The state of a Koji client's connection: its shard, its user info and its unverified tokens.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use switchboard_event::{Payload, ShardName, SocketId};
use switchboard_hub::Session;
use switchboard_wire::koji;

use crate::node::Node;
use crate::node::clock::now_ms;
use crate::node::connection_state::ConnectionState;
use crate::protocols::koji::connect_params::ConnectParams;
use crate::protocols::koji::member_entry::MemberEntry;
use crate::protocols::koji::options::KojiSettings;
use crate::protocols::koji::rules::ProjectRules;

/// The protocol's state of a connection.
pub(crate) struct ClientState {
    pub(crate) shard: ShardName,
    pub(crate) settings: Arc<KojiSettings>,
    pub(crate) rules: Arc<ProjectRules>,
    /// The client receives changes of the member list in place of the whole list.
    pub(crate) wants_changes: bool,
    /// The client receives an answer to each of its tokens.
    pub(crate) wants_token_answers: bool,
    /// When the client connected, in microseconds since 1970.
    connected_us: u64,
    public: Mutex<PublicState>,
    /// The client receives the member list.
    sees_members: AtomicBool,
    last_activity_ms: AtomicU64,
    /// The client has entered the member list, which it does once.
    has_entered_list: AtomicBool,
    tokens: Mutex<Tokens>,
}

/// The part of the state that other clients see.
struct PublicState {
    user_info: Payload,
    /// The client has joined its shard, so its changes are written to the store.
    is_member: bool,
}

impl ClientState {
    pub(crate) fn new(params: &ConnectParams, shard: ShardName, entry: &MemberEntry) -> Self {
        let MemberEntry { connected_us, client } = entry;
        ClientState {
            shard,
            settings: params.settings.clone(),
            rules: params.rules.clone(),
            wants_changes: params.wants_changes,
            wants_token_answers: params.wants_token_answers,
            connected_us: *connected_us,
            public: Mutex::new(PublicState { user_info: client.user_info.clone(), is_member: false }),
            sees_members: AtomicBool::new(true),
            last_activity_ms: AtomicU64::new(client.last_ping_ms),
            has_entered_list: AtomicBool::new(false),
            tokens: Mutex::default(),
        }
    }

    /// Records the time at which bytes arrived.
    pub(crate) fn record_activity(&self) {
        self.last_activity_ms.store(now_ms(), Ordering::Relaxed);
    }

    pub(crate) fn user_info(&self) -> Payload {
        self.public().user_info.clone()
    }

    pub(crate) fn set_user_info(&self, node: &Node, session: &Session, user_info: Payload) {
        self.change(node, session, |public| public.user_info = user_info);
    }

    /// Sets whether the client is a member of its shard.
    pub(crate) fn set_member(&self, node: &Node, session: &Session, is_member: bool) {
        self.change(node, session, |public| public.is_member = is_member);
    }

    /// Sets whether the client receives the member list. Returns true if that has changed.
    pub(crate) fn set_sees_members(&self, sees: bool) -> bool {
        self.sees_members.swap(sees, Ordering::Relaxed) != sees
    }

    pub(crate) fn sees_members(&self) -> bool {
        self.sees_members.load(Ordering::Relaxed)
    }

    /// Returns true if the client has joined its shard and not left it.
    pub(crate) fn is_member(&self) -> bool {
        self.public().is_member
    }

    /// Records that the client enters the member list. Returns false if it has entered before.
    pub(crate) fn enter_list(&self) -> bool {
        !self.has_entered_list.swap(true, Ordering::Relaxed)
    }

    /// Changes the public state and writes it to the store if the client is a member.
    fn change(&self, node: &Node, session: &Session, change: impl FnOnce(&mut PublicState)) {
        let mut public = self.public();
        change(&mut public);
        if public.is_member && node.has_shared_store() {
            // Written under the lock: writes keep the order of changes, and none follows the end of the
            // membership.
            let description = self.entry_of(session.id, &public).to_bytes();
            node.hub().store().describe(&session.project.id, &self.shard, session.id, description);
        }
    }

    fn public(&self) -> MutexGuard<'_, PublicState> {
        self.public.lock().expect("the lock is never held during a panic")
    }

    pub(crate) fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().expect("the lock is never held during a panic")
    }

    /// The client's entry in the member list.
    pub(crate) fn entry(&self, id: SocketId) -> MemberEntry {
        self.entry_of(id, &self.public())
    }

    fn entry_of(&self, id: SocketId, public: &PublicState) -> MemberEntry {
        let (user_info, last_ping_ms) =
            (public.user_info.clone(), self.last_activity_ms.load(Ordering::Relaxed));
        MemberEntry { connected_us: self.connected_us, client: koji::Client { id, user_info, last_ping_ms } }
    }
}

/// The tokens of a client that are not verified yet. One token is verified at a time.
#[derive(Default)]
pub(crate) struct Tokens {
    pub(crate) queue: VecDeque<String>,
    pub(crate) is_verifying: bool,
}

/// The state of a session's Koji client; `None` for other protocols.
pub(crate) fn client_of(session: &Session) -> Option<&ClientState> {
    ConnectionState::of(session).protocol()
}
