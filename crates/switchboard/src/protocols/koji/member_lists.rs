//! Who is on a shard, and telling everyone there.
//!
//! A change is told at once after a quiet time, and otherwise with all others of the gathering time,
//! so that a hundred who come together do not cost ten thousand lists. A list is encoded once and
//! shared. A client that takes nothing misses lists, never the last one. Clients of this node are
//! known here; those of others are asked for when they have changed.

mod changes;
mod remote;
mod update;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use switchboard_event::{Name, ProjectId, SocketId};
use switchboard_hub::Session;
use switchboard_wire::koji;

use super::described::{Described, in_order};
use crate::api::app::App;
use crate::node::clock::now;
use crate::node::conn::Peer;
use crate::node::core::Core;

use changes::Changes;
use remote::Elsewhere;
use update::{News, takes};

/// After how long those who took nothing are tried again.
const RETRY: Duration = Duration::from_millis(100);

/// The lists of all shards with a client on this node.
#[derive(Default)]
pub(crate) struct Rosters {
    shards: Mutex<HashMap<(ProjectId, Name), Arc<Roster>>>,
}

/// The list of one shard.
struct Roster {
    project: ProjectId,
    shard: Name,
    /// How long changes are gathered.
    gather: Duration,
    state: Mutex<State>,
    /// One telling at a time, so that lists arrive in their order.
    telling: Mutex<()>,
}

#[derive(Default)]
struct State {
    /// The clients of this node, in the order they came.
    members: IndexMap<SocketId, Member>,
    elsewhere: Elsewhere,
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

impl Rosters {
    fn lock(&self) -> MutexGuard<'_, HashMap<(ProjectId, Name), Arc<Roster>>> {
        self.shards.lock().expect("no code that holds the rosters panics")
    }

    pub(crate) fn joined(&self, app: &App, shard: &Name, session: &Arc<Session>) {
        let mut shards = self.lock();
        let key = (session.project.id.clone(), shard.clone());
        let new = || Arc::new(Roster::new(app, session.project.id.clone(), shard.clone()));
        let roster = shards.entry(key).or_insert_with(new).clone();
        let mut state = roster.lock();
        state.members.insert(session.id, Member { session: session.clone(), behind: true });
        state.changes.join(session.id);
        roster.tell_soon(app, state);
    }

    pub(crate) fn left(&self, app: &App, shard: &Name, id: SocketId) {
        let mut shards = self.lock();
        let key = (app.project_id().clone(), shard.clone());
        let Some(roster) = shards.get(&key).cloned() else { return };
        let mut state = roster.lock();
        if state.members.swap_remove(&id).is_none() {
            return;
        }
        if state.members.is_empty() {
            shards.remove(&key);
            return;
        }
        state.changes.leave(id);
        roster.tell_soon(app, state);
    }

    /// A client says something else of itself.
    pub(crate) fn updated(&self, app: &App, session: &Arc<Session>) {
        self.change(app, session, |state| state.changes.update(session.id));
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

    /// Something has changed among the clients of other nodes.
    pub(crate) fn changed_elsewhere(&self, app: &App, shard: &Name) {
        let roster = self.lock().get(&(app.project_id().clone(), shard.clone())).cloned();
        if let Some(roster) = roster {
            roster.note_elsewhere(app, Elsewhere::changed);
        }
    }

    /// Anything may have changed among the clients of other nodes.
    pub(crate) fn missed(&self, core: &Arc<Core>) {
        let rosters: Vec<Arc<Roster>> = self.lock().values().cloned().collect();
        for roster in rosters {
            roster.note_elsewhere(&App::of(core.clone(), roster.project.clone()), Elsewhere::missed);
        }
    }

    /// The clients of this node on a shard, in the order they came.
    pub(crate) fn list(&self, project: &ProjectId, shard: &Name) -> Vec<Described> {
        let roster = self.lock().get(&(project.clone(), shard.clone())).cloned();
        roster.map(|roster| roster.lock().here()).unwrap_or_default()
    }
}

impl Member {
    fn described(&self) -> Described {
        let client = Peer::of(&self.session).koji().expect("every member came through this door");
        client.entry(self.session.id)
    }
}

impl State {
    fn here(&self) -> Vec<Described> {
        self.members.values().map(Member::described).collect()
    }

    fn everyone(&self) -> Vec<koji::Client> {
        in_order(self.here(), self.elsewhere.clients().cloned())
    }

    /// Those of some ids who are on the shard, wherever.
    fn some<'a>(&self, ids: impl IntoIterator<Item = &'a SocketId>) -> Vec<koji::Client> {
        let find = |id| {
            let here = self.members.get(id).map(Member::described);
            here.or_else(|| self.elsewhere.get(id).cloned()).map(|described| described.client)
        };
        ids.into_iter().filter_map(find).collect()
    }
}

impl Roster {
    fn new(app: &App, project: ProjectId, shard: Name) -> Self {
        let gather = app.setup().koji.as_ref().map_or(Duration::ZERO, |koji| koji.gather);
        let elsewhere = if app.shares_store() { Elsewhere::unknown() } else { Elsewhere::default() };
        let state = Mutex::new(State { elsewhere, ..State::default() });
        Roster { project, shard, gather, state, telling: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code that holds a roster panics")
    }

    /// Has the changes told when the gathering time is over, unless they will be.
    fn tell_soon(self: &Arc<Self>, app: &App, state: MutexGuard<'_, State>) {
        self.tell_after(Duration::ZERO, app, state);
    }

    /// Has the shard told once the gathering time is over, and this one.
    fn tell_after(self: &Arc<Self>, least: Duration, app: &App, mut state: MutexGuard<'_, State>) {
        if std::mem::replace(&mut state.due, true) {
            return;
        }
        let since = state.told.map(|told| now().saturating_duration_since(told));
        let wait = since.map_or(Duration::ZERO, |since| self.gather.max(least).saturating_sub(since));
        let (roster, app) = (self.clone(), app.clone());
        app.clone().core().tasks.spawn(async move {
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            roster.look_elsewhere(&app).await;
            roster.tell(&app);
        });
    }

    /// Notes that others are no longer known, and has them asked for.
    fn note_elsewhere(self: &Arc<Self>, app: &App, note: fn(&mut Elsewhere) -> bool) {
        let mut state = self.lock();
        if note(&mut state.elsewhere) {
            self.tell_soon(app, state);
        }
    }

    fn tell(self: &Arc<Self>, app: &App) {
        let _turn = self.telling.lock().expect("no code that tells panics");
        let (news, again) = self.take_news(app);
        let missed = news.send(app);
        let mut state = self.lock();
        for id in &missed {
            if let Some(member) = state.members.get_mut(id) {
                member.behind = true;
            }
        }
        if again || !missed.is_empty() {
            self.tell_after(RETRY, app, state);
        }
    }

    /// Takes what there is to tell and to whom; true if it has to be told again: somebody takes
    /// nothing now, or something has changed on another node in the meantime.
    fn take_news(&self, app: &App) -> (News, bool) {
        let mut state = self.lock();
        let State { members, elsewhere, changes, version, due, told } = &mut *state;
        (*due, *told) = (false, Some(now()));
        let changes = std::mem::take(changes);
        *version += u64::from(!changes.is_empty());
        let mut news = News { version: *version, ..News::default() };
        let mut again = elsewhere.is_stale() && !members.is_empty();
        for member in members.values_mut() {
            let client = Peer::of(&member.session).koji().expect("every member came through this door");
            if changes.is_empty() && !member.behind {
                continue;
            }
            if !takes(&member.session, 0, app) {
                (member.behind, again) = (true, true);
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
            news.clients = state.everyone();
        }
        if !news.to_watchers.is_empty() {
            (news.joined, news.updated) = (state.some(&changes.joined), state.some(&changes.updated));
            news.left = changes.left.into_iter().collect();
        }
        (news, again)
    }
}
