//! Who is on a shard, and telling everyone there.
//!
//! A change is told at once after a quiet time, and otherwise with all others of the gathering time,
//! so that a hundred who come together do not cost ten thousand lists. A list is encoded once and
//! shared. A client that takes nothing misses lists, never the last one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use indexmap::{IndexMap, IndexSet};
use switchboard_event::{DeliveryClass, Name, ProjectId, SocketId};
use switchboard_hub::Session;
use switchboard_wire::koji::{self, CLIENTS_CHANGED, CLIENTS_CHANGES};
use switchboard_ws::frame::{OpCode, encode_with};

use crate::app::App;
use crate::clock::now;
use crate::socket::Peer;

/// The lists of all shards with a client on this node.
#[derive(Default)]
pub(crate) struct Rosters {
    shards: Mutex<HashMap<(ProjectId, Name), Arc<Roster>>>,
}

/// The list of one shard.
#[derive(Default)]
struct Roster {
    state: Mutex<State>,
    /// One telling at a time, so that lists arrive in their order.
    telling: Mutex<()>,
}

#[derive(Default)]
struct State {
    members: IndexMap<SocketId, Member>,
    changes: Changes,
    /// Grows with every telling of changes.
    version: u64,
    /// Somebody is going to tell.
    due: bool,
    told: Option<Instant>,
}

struct Member {
    session: Arc<Session>,
    /// It needs the whole list: it is new, asked for it, or missed something.
    behind: bool,
}

/// What happened since the last telling.
#[derive(Default)]
struct Changes {
    joined: IndexSet<SocketId>,
    updated: IndexSet<SocketId>,
    left: Vec<SocketId>,
}

impl Changes {
    fn is_empty(&self) -> bool {
        self.joined.is_empty() && self.updated.is_empty() && self.left.is_empty()
    }
}

impl Rosters {
    fn lock(&self) -> MutexGuard<'_, HashMap<(ProjectId, Name), Arc<Roster>>> {
        self.shards.lock().expect("no code that holds the rosters panics")
    }

    pub(crate) fn joined(&self, app: &App, shard: &Name, session: &Arc<Session>) {
        let mut shards = self.lock();
        let key = (session.project.id.clone(), shard.clone());
        let roster = shards.entry(key).or_default().clone();
        let mut state = roster.lock();
        state.members.insert(session.id, Member { session: session.clone(), behind: true });
        state.changes.joined.insert(session.id);
        roster.tell_soon(app, state);
    }

    pub(crate) fn left(&self, app: &App, project: &ProjectId, shard: &Name, id: SocketId) {
        let mut shards = self.lock();
        let key = (project.clone(), shard.clone());
        let Some(roster) = shards.get(&key).cloned() else { return };
        let mut state = roster.lock();
        if state.members.shift_remove(&id).is_none() {
            return;
        }
        if state.members.is_empty() {
            shards.remove(&key);
            return;
        }
        let changes = &mut state.changes;
        changes.updated.swap_remove(&id);
        if !changes.joined.swap_remove(&id) {
            changes.left.push(id);
        }
        roster.tell_soon(app, state);
    }

    /// A client says something else of itself.
    pub(crate) fn updated(&self, app: &App, session: &Arc<Session>) {
        self.change(app, session, |state| {
            if !state.changes.joined.contains(&session.id) {
                state.changes.updated.insert(session.id);
            }
        });
    }

    /// A client wants the whole list.
    pub(crate) fn tell_all(&self, app: &App, session: &Arc<Session>) {
        self.change(app, session, |state| {
            if let Some(member) = state.members.get_mut(&session.id) {
                member.behind = true;
            }
        });
    }

    fn change(&self, app: &App, session: &Arc<Session>, change: impl FnOnce(&mut State)) {
        let Some(client) = Peer::of(session).koji() else { return };
        let key = (session.project.id.clone(), client.shard.clone());
        let Some(roster) = self.lock().get(&key).cloned() else { return };
        let mut state = roster.lock();
        if state.members.contains_key(&session.id) {
            change(&mut state);
            roster.tell_soon(app, state);
        }
    }

    /// Who is on a shard, in the order they came.
    pub(crate) fn list(&self, project: &ProjectId, shard: &Name) -> Vec<koji::Client> {
        let roster = self.lock().get(&(project.clone(), shard.clone())).cloned();
        roster.map(|roster| entries(roster.lock().members.values())).unwrap_or_default()
    }
}

fn entries<'a>(members: impl IntoIterator<Item = &'a Member>) -> Vec<koji::Client> {
    let entry = |member: &Member| Some(Peer::of(&member.session).koji()?.entry(member.session.id));
    members.into_iter().filter_map(entry).collect()
}

impl Roster {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code that holds a roster panics")
    }

    /// Has the changes told when the gathering time is over, unless they will be.
    fn tell_soon(self: &Arc<Self>, app: &App, mut state: MutexGuard<'_, State>) {
        if std::mem::replace(&mut state.due, true) {
            return;
        }
        let gather = app.setup().koji.as_ref().map_or(Duration::ZERO, |koji| koji.gather);
        let since = state.told.map(|told| now().saturating_duration_since(told));
        let wait = since.map_or(Duration::ZERO, |since| gather.saturating_sub(since));
        let (roster, app) = (self.clone(), app.clone());
        app.clone().core().tasks.spawn(async move {
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            roster.tell(&app);
        });
    }

    fn tell(self: &Arc<Self>, app: &App) {
        let _turn = self.telling.lock().expect("no code that tells panics");
        let (news, missed) = self.take_news(app);
        news.send(app);
        if missed {
            self.tell_soon(app, self.lock());
        }
    }

    /// Takes what there is to tell and to whom; true if somebody has to wait because it takes
    /// nothing now.
    fn take_news(&self, app: &App) -> (News, bool) {
        let mut state = self.lock();
        let State { members, changes, version, due, told } = &mut *state;
        (*due, *told) = (false, Some(now()));
        let changes = std::mem::take(changes);
        *version += u64::from(!changes.is_empty());
        let mut news = News { version: *version, ..News::default() };
        let (room, mut missed) = (app.limits().outbox_bytes_max / 2, false);
        for member in members.values_mut() {
            let client = Peer::of(&member.session).koji().expect("every member came through this door");
            if changes.is_empty() && !member.behind {
                continue;
            }
            if member.session.outbox.queued_bytes() > room {
                (member.behind, missed) = (true, true);
                continue;
            }
            let to = match (client.changes, std::mem::take(&mut member.behind)) {
                (false, _) => &mut news.to_all,
                (true, true) => &mut news.to_new,
                (true, false) => &mut news.to_watchers,
            };
            to.push(member.session.clone());
        }
        if !news.to_all.is_empty() || !news.to_new.is_empty() {
            news.clients = entries(members.values());
        }
        if !news.to_watchers.is_empty() {
            let some = |ids: IndexSet<SocketId>| entries(ids.iter().filter_map(|id| members.get(id)));
            (news.joined, news.updated, news.left) =
                (some(changes.joined), some(changes.updated), changes.left);
        }
        (news, missed)
    }
}

/// What is told to whom.
#[derive(Default)]
struct News {
    version: u64,
    clients: Vec<koji::Client>,
    /// These get the list.
    to_all: Vec<Arc<Session>>,
    /// These get the list with its version, to go on from.
    to_new: Vec<Arc<Session>>,
    /// These get only what has changed.
    to_watchers: Vec<Arc<Session>>,
    joined: Vec<koji::Client>,
    updated: Vec<koji::Client>,
    left: Vec<SocketId>,
}

/// Room for one entry of a list: the id and what surrounds it, and a short user info.
const ENTRY_BYTES: usize = 128;

impl News {
    fn send(&self, app: &App) {
        let deliver = |sessions: &[Arc<Session>], encode: &dyn Fn() -> Bytes| {
            if !sessions.is_empty() {
                let told = app.hub().deliver_frame_to(sessions, &encode(), DeliveryClass::Live);
                app.meters().lists.increment(told.queued as u64);
            }
        };
        deliver(&self.to_all, &|| self.list_frame(|_| ()));
        deliver(&self.to_new, &|| {
            self.list_frame(|out| out.extend_from_slice(format!(",\"version\":{}", self.version).as_bytes()))
        });
        deliver(&self.to_watchers, &|| self.changes_frame());
    }

    fn list_frame(&self, more: impl FnOnce(&mut Vec<u8>)) -> Bytes {
        encode_with(OpCode::Text, ENTRY_BYTES * (1 + self.clients.len()), |out| {
            koji::write_platform(out, CLIENTS_CHANGED, |out| {
                out.extend_from_slice(b"{\"connectedClients\":");
                koji::write_clients(out, &self.clients);
                more(out);
                out.push(b'}');
            });
        })
    }

    fn changes_frame(&self) -> Bytes {
        let len = ENTRY_BYTES * (1 + self.joined.len() + self.updated.len() + self.left.len());
        encode_with(OpCode::Text, len, |out| {
            koji::write_platform(out, CLIENTS_CHANGES, |out| {
                out.extend_from_slice(format!("{{\"version\":{},\"joined\":", self.version).as_bytes());
                koji::write_clients(out, &self.joined);
                out.extend_from_slice(b",\"updated\":");
                koji::write_clients(out, &self.updated);
                out.extend_from_slice(b",\"left\":");
                serde_json::to_writer(&mut *out, &self.left)
                    .expect("ids are JSON and a Vec takes everything");
                out.push(b'}');
            });
        })
    }
}
