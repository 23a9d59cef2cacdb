//! Original Mesa Portals: who they are, whose turn it is, and what they are told.
//!
//! With the namespace `api`; without one no `_api`:
//!
//! | name | type | holds |
//! |---|---|---|
//! | `portal_api` | channel | reports, each with the id of the portal that it is for |
//! | `available_portals_pool_api` | set | the ids of portals; one that was killed stays |
//! | `available_portals_pool_api` | channel | `{"id":"…","ready":true}` or `false` |
//!
//! A portal drops what is for another one, unless it wants everything.

use std::borrow::Cow;
use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use switchboard_backplane::{ClientAction, ClientMessage, Report};
use switchboard_event::{Payload, ProjectId};

/// Most portals that a pool knows; more are not chosen.
const PORTALS_MAX: usize = 4096;

/// Portals that went are not put back by a list that was made before they took themselves out.
const GONE_KNOWN: usize = 256;

/// Original Mesa Portals that get the reports of one project, one of them each report; on the same Redis:
/// one server or Sentinel, not a cluster.
///
/// ```
/// use switchboard_event::Name;
/// use switchboard_redis::{OriginalPortals, Options, Reports};
///
/// let project = ProjectId::new("default").expect("a short name");
/// let originals = OriginalPortals { namespace: Some("api".into()), ..OriginalPortals::of(&project) };
/// let reports = Reports { originals: Some(originals), ..Reports::of(&project) };
/// let options = Options { reports: Some(reports), ..Options::new("redis://127.0.0.1:6379") };
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginalPortals {
    /// The project.
    pub project: ProjectId,
    /// The portals' `namespace`; default none.
    pub namespace: Option<String>,
    /// Whether they take turns; otherwise one is drawn. Default true.
    pub distribute_load: bool,
}

impl OriginalPortals {
    /// Those without a namespace.
    pub fn of(project: &ProjectId) -> Self {
        OriginalPortals { project: project.clone(), namespace: None, distribute_load: true }
    }

    fn name(&self, what: &str) -> String {
        match &self.namespace {
            Some(namespace) => format!("{what}_{namespace}"),
            None => what.into(),
        }
    }

    /// Where reports go.
    pub(crate) fn channel(&self) -> String {
        self.name("portal")
    }

    /// The set, and the channel that says how it changes.
    pub(crate) fn pool(&self) -> String {
        self.name("available_portals_pool")
    }
}

/// Who is there, as far as they said.
pub(crate) struct Pool {
    ids: Vec<String>,
    gone: VecDeque<String>,
    /// Those of whom none listened: killed, or not listening yet.
    suspects: Vec<String>,
    turn: usize,
    takes_turns: bool,
}

#[derive(Deserialize)]
struct Readiness<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    ready: bool,
}

impl Pool {
    pub(crate) fn new(takes_turns: bool) -> Self {
        Pool { ids: Vec::new(), gone: VecDeque::new(), suspects: Vec::new(), turn: 0, takes_turns }
    }

    pub(crate) fn ids(&self) -> &[String] {
        &self.ids
    }

    /// Takes what a portal says of itself. Who was not known cannot leave.
    pub(crate) fn hear(&mut self, message: &[u8]) -> Result<(), serde_json::Error> {
        let Readiness { id, ready } = serde_json::from_slice(message)?;
        if ready {
            self.gone.retain(|gone| *gone != id);
            self.suspects.retain(|suspect| *suspect != id);
            self.add(id.into_owned());
        } else {
            self.ids.retain(|known| *known != id);
            self.suspects.retain(|suspect| *suspect != id);
            self.gone.push_back(id.into_owned());
            if self.gone.len() > GONE_KNOWN {
                self.gone.pop_front();
            }
        }
        Ok(())
    }

    /// Adds those of the set, but not who is suspected. Who has just said that it is ready may not be in it
    /// yet, and who has just left may be in it still.
    pub(crate) fn add_all(&mut self, ids: Vec<Vec<u8>>) {
        for id in ids {
            if let Ok(id) = String::from_utf8(id)
                && !self.gone.contains(&id)
                && !self.suspects.contains(&id)
            {
                self.add(id);
            }
        }
    }

    /// Nobody listens: those of the set are suspected like all who were known.
    pub(crate) fn suspect_all(&mut self, ids: Vec<Vec<u8>>) {
        self.add_all(ids);
        self.suspects.append(&mut self.ids);
        self.suspects.truncate(PORTALS_MAX);
    }

    /// How many are suspected.
    pub(crate) fn suspects(&self) -> usize {
        self.suspects.len()
    }

    /// Nobody is suspected any more.
    pub(crate) fn trust_all(&mut self) {
        for id in std::mem::take(&mut self.suspects) {
            self.add(id);
        }
    }

    fn add(&mut self, id: String) {
        if id.len() <= 256 && self.ids.len() < PORTALS_MAX && !self.ids.contains(&id) {
            self.ids.push(id);
        }
    }

    /// For when it may have been missed who came and went.
    pub(crate) fn clear(&mut self) {
        self.ids.clear();
        self.suspects.clear();
    }

    /// Who gets the next report: the second of them first, as with the original; none if nobody is there.
    pub(crate) fn next(&mut self) -> Option<&str> {
        if self.ids.is_empty() {
            return None;
        }
        self.turn = match self.takes_turns {
            true => (self.turn + 1) % self.ids.len(),
            false => rand::random_range(0..self.ids.len()),
        };
        Some(&self.ids[self.turn])
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Telling<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    portal_id: &'a str,
}

#[derive(Serialize)]
struct Message<'a> {
    op: i64,
    d: &'a Payload,
    #[serde(skip_serializing_if = "Option::is_none")]
    t: Option<&'a str>,
}

/// A report in the originals' words.
pub(crate) fn telling(report: &Report, portal: &str) -> Vec<u8> {
    let (kind, message) = match &report.action {
        ClientAction::Connected => ("connection", None),
        ClientAction::Authenticated => ("authentication", None),
        ClientAction::Disconnected { .. } => ("disconnection", None),
        ClientAction::Message(ClientMessage { op, kind, data, .. }) => {
            ("message", Some(Message { op: *op, d: data, t: kind.as_deref() }))
        }
    };
    let telling = Telling { r#type: kind, message, client_id: report.user.as_deref(), portal_id: portal };
    serde_json::to_vec(&telling).expect("texts, numbers and payloads are JSON")
}

#[cfg(test)]
mod tests {
    use switchboard_event::{Name, Protocol, SocketId, UserId};

    use super::*;

    fn ready(id: &str, ready: bool) -> Vec<u8> {
        format!(r#"{{"id":"{id}","ready":{ready}}}"#).into()
    }

    fn pool(ids: &[&str]) -> Pool {
        let mut pool = Pool::new(true);
        ids.iter().for_each(|id| pool.hear(&ready(id, true)).unwrap());
        pool
    }

    #[test]
    fn turns_begin_with_the_second() {
        let mut pool = pool(&["a", "b", "c"]);
        let turns: Vec<String> = (0..4).map(|_| pool.next().unwrap().to_owned()).collect();
        assert_eq!(turns, ["b", "c", "a", "b"]);
        assert_eq!(Pool::new(true).next(), None);
    }

    #[test]
    fn without_turns_everybody_is_drawn_at_some_time() {
        let mut pool = Pool { takes_turns: false, ..pool(&["a", "b"]) };
        let mut drawn = |id: &str| (0..1000).any(|_| pool.next() == Some(id));
        assert!(drawn("a") && drawn("b"));
    }

    #[test]
    fn it_is_a_set_and_strangers_cannot_leave_it() {
        let mut pool = pool(&["a", "b", "a"]);
        pool.hear(&ready("stranger", false)).unwrap();
        pool.add_all(vec![b"b".to_vec(), b"c".to_vec(), vec![0xff]]);
        assert_eq!(pool.ids(), ["a", "b", "c"]);
        pool.hear(&ready("a", false)).unwrap();
        pool.add_all(vec![b"a".to_vec()]);
        assert_eq!(pool.ids(), ["b", "c"], "who left is not put back by an older list");
        pool.hear(&ready("a", true)).unwrap();
        assert_eq!(pool.ids(), ["b", "c", "a"]);
        for garbage in ["", "{}", "null", r#"{"id":7,"ready":true}"#, r#"{"id":"x"}"#] {
            assert!(pool.hear(garbage.as_bytes()).is_err(), "{garbage}");
        }
    }

    #[test]
    fn who_is_suspected_gets_nothing_until_it_says_that_it_is_ready_or_is_trusted_again() {
        let mut pool = pool(&["a", "b"]);
        pool.suspect_all(vec![b"c".to_vec()]);
        assert_eq!((pool.ids().len(), pool.next()), (0, None));
        pool.hear(&ready("b", true)).unwrap();
        pool.add_all(vec![b"a".to_vec(), b"b".to_vec(), b"c".to_vec(), b"d".to_vec()]);
        assert_eq!(pool.ids(), ["b", "d"]);
        pool.hear(&ready("c", false)).unwrap();
        assert_eq!(pool.suspects(), 1);
        pool.trust_all();
        assert_eq!((pool.ids(), pool.suspects()), (&["b", "d", "a"].map(String::from)[..], 0));
    }

    #[test]
    fn tellings_look_as_the_originals_do() {
        let told = |user: Option<&str>, action| {
            let (project, socket) = (ProjectId::new("p").unwrap(), SocketId::random());
            let user = user.map(|user| UserId::new(user).unwrap());
            let report = Report { project, socket, protocol: Protocol::Mesa, user, time_ms: 7, action };
            String::from_utf8(telling(&report, "P")).unwrap()
        };
        let said = |kind: Option<&str>| {
            let kind = kind.map(|kind| Name::new(kind).unwrap());
            ClientAction::Message(ClientMessage { op: 0, kind, data: Payload::EMPTY, reply_to: None })
        };
        assert_eq!(told(None, ClientAction::Connected), r#"{"type":"connection","portalId":"P"}"#);
        assert_eq!(
            told(Some("1"), ClientAction::Authenticated),
            r#"{"type":"authentication","clientId":"1","portalId":"P"}"#
        );
        assert_eq!(
            told(Some("1"), said(Some("PING"))),
            r#"{"type":"message","message":{"op":0,"d":{},"t":"PING"},"clientId":"1","portalId":"P"}"#
        );
        assert_eq!(told(None, said(None)), r#"{"type":"message","message":{"op":0,"d":{}},"portalId":"P"}"#);
        assert_eq!(
            told(Some("1"), ClientAction::Disconnected { code: 1000 }),
            r#"{"type":"disconnection","clientId":"1","portalId":"P"}"#
        );
    }
}
