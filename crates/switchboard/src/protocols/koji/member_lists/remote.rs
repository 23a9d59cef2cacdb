//! The clients of a shard on other nodes: what is known of them, and when to ask for it again.
//!
//! Other nodes say that something changed, not what: the store has that. It is asked before the next
//! telling, so that a hundred changes elsewhere cost one question, as they cost one list here.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use indexmap::IndexMap;
use switchboard_event::{NodeId, SocketId};

use super::Roster;
use super::changes::Changes;
use crate::api::app::App;
use crate::protocols::koji::described::Described;

/// How long a telling waits for the store; then what is known is told.
const PATIENCE: Duration = Duration::from_secs(1);

/// When a store that did not answer is asked again.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Elsewhere {
    clients: IndexMap<SocketId, Described>,
    view: View,
    /// Whatever other nodes say of the shard is heard here.
    settled: bool,
}

/// How what is known relates to what is.
#[derive(Default, PartialEq, Eq)]
enum View {
    /// Nobody has said that anything changed.
    #[default]
    Current,
    /// The store is asked before the next telling.
    Stale,
    /// The store did not answer and is asked again after a while; until then what is known is told.
    Failing,
}

impl Elsewhere {
    /// Nothing is known, and there may be something to know.
    pub(super) fn unknown() -> Self {
        Elsewhere { view: View::Stale, ..Elsewhere::default() }
    }

    pub(super) fn clients(&self) -> impl Iterator<Item = &Described> {
        self.clients.values()
    }

    pub(super) fn get(&self, id: &SocketId) -> Option<&Described> {
        self.clients.get(id)
    }

    pub(super) fn is_stale(&self) -> bool {
        self.view == View::Stale
    }

    /// Something has changed. True if that was not known yet.
    pub(super) fn changed(&mut self) -> bool {
        let news = self.view == View::Current;
        if news {
            self.view = View::Stale;
        }
        news
    }

    /// Anything may have changed, and what is said may not be heard yet. True as for `changed`.
    pub(super) fn missed(&mut self) -> bool {
        self.settled = false;
        self.changed()
    }

    /// The store is asked now, and knows of every change until now.
    fn begin_to_ask(&mut self) {
        self.view = View::Current;
    }

    fn failed(&mut self) {
        self.view = View::Failing;
    }

    /// The time to ask again has come. True if nobody has asked in the meantime.
    fn may_ask_again(&mut self) -> bool {
        let failing = self.view == View::Failing;
        if failing {
            self.view = View::Stale;
        }
        failing
    }

    /// Takes what the store says in place of what was known.
    fn learn(&mut self, this_node: NodeId, said: &[(SocketId, Bytes)], changes: &mut Changes) {
        let others = said.iter().filter(|(id, _)| id.node() != this_node);
        let clients: IndexMap<SocketId, Described> =
            others.filter_map(|(id, said)| Some((*id, Described::read(*id, said)?))).collect();
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

impl Roster {
    /// Learns who is on other nodes, if that may have changed. One at a time does: who is going to
    /// tell.
    pub(super) async fn look_elsewhere(self: &Arc<Self>, app: &App) {
        let settled = {
            let mut state = self.lock();
            if state.members.is_empty() || !state.elsewhere.is_stale() {
                return;
            }
            state.elsewhere.begin_to_ask();
            std::mem::replace(&mut state.elsewhere.settled, true)
        };
        let (bus, store) = (app.hub().bus(), app.hub().store());
        let asking = async {
            // What changes after the answer has to be heard of, or it would never be asked for.
            if !settled {
                bus.settled().await;
            }
            store.descriptions(&self.project, &self.shard).await
        };
        let failure: Option<Box<dyn std::error::Error>> = match tokio::time::timeout(PATIENCE, asking).await {
            Ok(Ok(said)) => {
                let state = &mut *self.lock();
                state.elsewhere.learn(bus.node(), &said, &mut state.changes);
                None
            }
            Ok(Err(error)) => Some(error.into()),
            Err(late) => Some(late.into()),
        };
        if let Some(error) = failure {
            tracing::debug!(project = %self.project, shard = %self.shard, error = &*error, "a list may be out of date");
            self.lock().elsewhere.settled &= settled;
            self.ask_later(app);
        }
    }

    fn ask_later(self: &Arc<Self>, app: &App) {
        self.lock().elsewhere.failed();
        let (roster, app) = (self.clone(), app.clone());
        app.core().tasks.clone().spawn_service(async move {
            tokio::time::sleep(RETRY).await;
            let mut state = roster.lock();
            if state.elsewhere.may_ask_again() {
                roster.tell_soon(&app, state);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use switchboard_event::Payload;
    use switchboard_wire::koji;

    use super::*;

    fn said(id: SocketId, info: &str, last_ping_ms: u64) -> (SocketId, Bytes) {
        let client = koji::Client { id, user_info: Payload::parse(info).unwrap(), last_ping_ms };
        (id, Described { since_us: 1, client }.write())
    }

    #[test]
    fn only_what_people_see_is_a_change() {
        let (node, mut elsewhere, mut changes) = (NodeId::random(), Elsewhere::default(), Changes::default());
        let [ann, bob] = [0; 2].map(|_| SocketId::random());
        let mut learn = |list: &[(SocketId, Bytes)]| {
            elsewhere.learn(node, list, &mut changes);
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
    fn a_change_that_is_known_of_is_not_asked_for_twice() {
        let mut elsewhere = Elsewhere::unknown();
        assert!(!elsewhere.changed() && elsewhere.is_stale());
        elsewhere.begin_to_ask();
        assert!(elsewhere.missed() && !elsewhere.missed());
        elsewhere.failed();
        assert!(!elsewhere.changed() && !elsewhere.is_stale(), "it is asked again in a while");
        assert!(elsewhere.may_ask_again() && !elsewhere.may_ask_again());
    }
}
