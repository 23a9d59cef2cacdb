//! Original Mesa Portals: the pool of portals, and reports in their format.
//!
//! With the namespace `api`; without one, the names have no suffix:
//!
//! | name | type | content |
//! |---|---|---|
//! | `portal_api` | channel | reports, each with the id of the portal that it is for |
//! | `available_portals_pool_api` | set | ids of portals; the id of a killed portal remains |
//! | `available_portals_pool_api` | channel | `{"id":"…","ready":true}` or `false` |
//!
//! A portal ignores reports for another portal, unless it is configured to take all.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use futures_util::future::BoxFuture;
use metrics::{Counter, counter};
use redis::{Cmd, RedisResult, cmd};
use serde::{Deserialize, Serialize};
use switchboard_backplane::{ClientAction, ClientMessage, Report};
use switchboard_event::{Payload, ProjectId};
use switchboard_log::{limited, printable_error};
use tokio::time::Instant;

use super::namespace::suffixed;
use crate::connection::RedisConnection;
use crate::options::LegacyPortals;
use crate::reports::DirectReceivers;

/// Maximum number of portals in the pool. Further portals get no reports.
const PORTALS_MAX: usize = 4096;

/// Number of remembered portals that have left, so that an older read of the set does not add them again.
const GONE_MAX: usize = 256;

/// Maximum number of queued announcements. At the bound the oldest is dropped.
const ANNOUNCEMENTS_MAX: usize = 4096;

/// How soon the set is read again after reports had no subscriber.
const SUSPECT_INTERVAL: Duration = Duration::from_secs(1);

/// The portals of one namespace.
pub(in crate::legacy) struct MesaPortals {
    options: LegacyPortals,
    /// The channel of reports.
    channel: String,
    /// The set of portals, and the channel that announces its changes.
    pool_key: String,
    state: Mutex<PortalsState>,
    without_subscriber: Counter,
    undecodable: Counter,
}

struct PortalsState {
    pool: Pool,
    announcements: VecDeque<Vec<u8>>,
    /// Time at which the set is to be read.
    read_at: Option<Instant>,
    /// The last read found more subscribers than known portals.
    has_unknown_subscribers: bool,
}

impl MesaPortals {
    pub(in crate::legacy) fn new(options: LegacyPortals) -> Self {
        let namespace = options.namespace.as_deref();
        MesaPortals {
            channel: suffixed("portal", namespace),
            pool_key: suffixed("available_portals_pool", namespace),
            state: Mutex::new(PortalsState {
                pool: Pool::new(options.distribute_load),
                announcements: VecDeque::new(),
                read_at: None,
                has_unknown_subscribers: false,
            }),
            without_subscriber: counter!("switchboard_reports_lost_total", "reason" => "not_subscribed"),
            undecodable: counter!("switchboard_bus_undecodable_total"),
            options,
        }
    }

    fn state(&self) -> MutexGuard<'_, PortalsState> {
        self.state.lock().expect("no code that holds the pool panics")
    }

    /// Applies queued announcements. Returns whether there were any, and whether the set is to be read.
    fn apply_announcements(&self) -> (bool, bool) {
        let mut state = self.state();
        let announcements = std::mem::take(&mut state.announcements);
        for message in &announcements {
            if let Err(error) = state.pool.announced(message) {
                self.undecodable.increment(1);
                limited!(
                    DEBUG,
                    error = printable_error(&error),
                    "announcement of a legacy portal cannot be decoded; it is dropped"
                );
            }
        }
        let is_due = state.read_at.is_some_and(|at| at <= Instant::now());
        (!announcements.is_empty(), is_due)
    }
}

impl DirectReceivers for MesaPortals {
    fn project(&self) -> &ProjectId {
        &self.options.project
    }

    fn channel(&self) -> String {
        self.pool_key.clone()
    }

    fn announced(&self, message: Vec<u8>) {
        let announcements = &mut self.state().announcements;
        if announcements.len() >= ANNOUNCEMENTS_MAX {
            announcements.pop_front();
        }
        announcements.push_back(message);
    }

    fn reconnected(&self) {
        let mut state = self.state();
        state.pool.clear();
        state.read_at = Some(Instant::now());
    }

    fn due(&self) -> Option<Instant> {
        self.state().read_at
    }

    fn refresh<'a>(&'a self, connection: &'a mut RedisConnection) -> BoxFuture<'a, RedisResult<bool>> {
        Box::pin(async move {
            let (has_changed, is_due) = self.apply_announcements();
            if !is_due {
                return Ok(has_changed);
            }
            let ids: Vec<Vec<u8>> = connection.query(cmd("SMEMBERS").arg(&self.pool_key)).await?;
            let (_, subscribers): (String, usize) =
                connection.query(cmd("PUBSUB").arg("NUMSUB").arg(&self.channel)).await?;
            self.state().compare(ids, subscribers);
            Ok(true)
        })
    }

    fn ids(&self) -> Vec<String> {
        self.state().pool.ids().to_vec()
    }

    fn encode(&self, report: &Report) -> Option<Cmd> {
        let mut state = self.state();
        let portal = state.pool.next()?;
        let mut command = cmd("PUBLISH");
        command.arg(&self.channel).arg(encode(report, portal));
        Some(command)
    }

    /// All portals of the pool were killed, or have not subscribed yet.
    fn no_subscriber(&self) {
        self.without_subscriber.increment(1);
        let mut state = self.state();
        state.pool.suspect_all(Vec::new());
        state.read_at.get_or_insert(Instant::now() + SUSPECT_INTERVAL);
    }
}

impl PortalsState {
    /// Compares the set with the number of subscribers: the ids of killed portals remain in the set. A suspect
    /// gets reports again when it announces itself, when there are enough subscribers for all suspects, or when
    /// there are unknown subscribers twice in a row.
    fn compare(&mut self, ids: Vec<Vec<u8>>, subscribers: usize) {
        let had_unknown = std::mem::take(&mut self.has_unknown_subscribers);
        if subscribers == 0 {
            self.pool.suspect_all(ids);
        } else {
            self.pool.add_all(ids);
            let (known, suspects) = (self.pool.ids().len(), self.pool.suspects());
            self.has_unknown_subscribers = subscribers > known;
            if self.has_unknown_subscribers && (had_unknown || subscribers >= known + suspects) {
                self.pool.trust_all();
            }
        }
        let is_unsure = self.pool.suspects() > 0 && (subscribers == 0 || self.has_unknown_subscribers);
        self.read_at = is_unsure.then(|| Instant::now() + SUSPECT_INTERVAL);
    }
}

/// The known portals.
struct Pool {
    ids: Vec<String>,
    gone: VecDeque<String>,
    /// Portals that may be gone: a report had no subscriber. They were killed, or have not subscribed yet.
    suspects: Vec<String>,
    turn: usize,
    round_robin: bool,
}

#[derive(Deserialize)]
struct Readiness<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    ready: bool,
}

impl Pool {
    fn new(round_robin: bool) -> Self {
        Pool { ids: Vec::new(), gone: VecDeque::new(), suspects: Vec::new(), turn: 0, round_robin }
    }

    fn ids(&self) -> &[String] {
        &self.ids
    }

    /// Applies an announcement of a portal.
    fn announced(&mut self, message: &[u8]) -> Result<(), serde_json::Error> {
        let Readiness { id, ready } = serde_json::from_slice(message)?;
        if ready {
            self.gone.retain(|gone| *gone != id);
            self.suspects.retain(|suspect| *suspect != id);
            self.add(id.into_owned());
        } else {
            self.ids.retain(|known| *known != id);
            self.suspects.retain(|suspect| *suspect != id);
            self.gone.push_back(id.into_owned());
            if self.gone.len() > GONE_MAX {
                self.gone.pop_front();
            }
        }
        Ok(())
    }

    /// Adds the ids of the set, except suspects. The set may be older than the last announcements: a portal
    /// that is ready may be missing, and one that has left may still be there.
    fn add_all(&mut self, ids: Vec<Vec<u8>>) {
        for id in ids {
            if let Ok(id) = String::from_utf8(id)
                && !self.gone.contains(&id)
                && !self.suspects.contains(&id)
            {
                self.add(id);
            }
        }
    }

    /// Reports had no subscriber: all known portals, and those of the set, become suspects.
    fn suspect_all(&mut self, ids: Vec<Vec<u8>>) {
        self.add_all(ids);
        self.suspects.append(&mut self.ids);
        self.suspects.truncate(PORTALS_MAX);
    }

    /// Number of suspects.
    fn suspects(&self) -> usize {
        self.suspects.len()
    }

    /// Adds all suspects to the pool again.
    fn trust_all(&mut self) {
        for id in std::mem::take(&mut self.suspects) {
            self.add(id);
        }
    }

    fn add(&mut self, id: String) {
        if id.len() <= 256 && self.ids.len() < PORTALS_MAX && !self.ids.contains(&id) {
            self.ids.push(id);
        }
    }

    /// Forgets all portals, because announcements may have been missed.
    fn clear(&mut self) {
        self.ids.clear();
        self.suspects.clear();
    }

    /// The portal for the next report. The second is first, as with the original. `None` if there is none.
    fn next(&mut self) -> Option<&str> {
        if self.ids.is_empty() {
            return None;
        }
        self.turn = match self.round_robin {
            true => (self.turn + 1) % self.ids.len(),
            false => rand::random_range(0..self.ids.len()),
        };
        Some(&self.ids[self.turn])
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PortalReport<'a> {
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

/// Encodes a report for a portal.
fn encode(report: &Report, portal: &str) -> Vec<u8> {
    let (kind, message) = match &report.action {
        ClientAction::Connected => ("connection", None),
        ClientAction::Authenticated => ("authentication", None),
        ClientAction::Disconnected { .. } => ("disconnection", None),
        ClientAction::Message(ClientMessage { op, kind, data, .. }) => {
            ("message", Some(Message { op: *op, d: data, t: kind.as_deref() }))
        }
    };
    let report = PortalReport { r#type: kind, message, client_id: report.user.as_deref(), portal_id: portal };
    serde_json::to_vec(&report).expect("texts, numbers and payloads are JSON")
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
        ids.iter().for_each(|id| pool.announced(&ready(id, true)).unwrap());
        pool
    }

    #[test]
    fn round_robin_begins_with_the_second_portal() {
        let mut pool = pool(&["a", "b", "c"]);
        let chosen: Vec<String> = (0..4).map(|_| pool.next().unwrap().to_owned()).collect();
        assert_eq!(chosen, ["b", "c", "a", "b"]);
        assert_eq!(Pool::new(true).next(), None);
    }

    #[test]
    fn without_round_robin_every_portal_is_chosen_at_random() {
        let mut pool = Pool { round_robin: false, ..pool(&["a", "b"]) };
        let mut is_chosen = |id: &str| (0..1000).any(|_| pool.next() == Some(id));
        assert!(is_chosen("a") && is_chosen("b"));
    }

    #[test]
    fn ids_are_unique_and_unknown_portals_cannot_leave() {
        let mut pool = pool(&["a", "b", "a"]);
        pool.announced(&ready("stranger", false)).unwrap();
        pool.add_all(vec![b"b".to_vec(), b"c".to_vec(), vec![0xff]]);
        assert_eq!(pool.ids(), ["a", "b", "c"]);
        pool.announced(&ready("a", false)).unwrap();
        pool.add_all(vec![b"a".to_vec()]);
        assert_eq!(pool.ids(), ["b", "c"], "an older list does not add a portal that has left");
        pool.announced(&ready("a", true)).unwrap();
        assert_eq!(pool.ids(), ["b", "c", "a"]);
        for garbage in ["", "{}", "null", r#"{"id":7,"ready":true}"#, r#"{"id":"x"}"#] {
            assert!(pool.announced(garbage.as_bytes()).is_err(), "{garbage}");
        }
    }

    #[test]
    fn a_suspect_gets_no_reports_until_it_announces_itself_or_is_trusted_again() {
        let mut pool = pool(&["a", "b"]);
        pool.suspect_all(vec![b"c".to_vec()]);
        assert_eq!((pool.ids().len(), pool.next()), (0, None));
        pool.announced(&ready("b", true)).unwrap();
        pool.add_all(vec![b"a".to_vec(), b"b".to_vec(), b"c".to_vec(), b"d".to_vec()]);
        assert_eq!(pool.ids(), ["b", "d"]);
        pool.announced(&ready("c", false)).unwrap();
        assert_eq!(pool.suspects(), 1);
        pool.trust_all();
        assert_eq!((pool.ids(), pool.suspects()), (&["b", "d", "a"].map(String::from)[..], 0));
    }

    #[test]
    fn encoded_reports_are_those_of_original_servers() {
        let encoded = |user: Option<&str>, action| {
            let (project, socket) = (ProjectId::new("p").unwrap(), SocketId::random());
            let user = user.map(|user| UserId::new(user).unwrap());
            let report = Report { project, socket, protocol: Protocol::Mesa, user, time_ms: 7, action };
            String::from_utf8(encode(&report, "P")).unwrap()
        };
        let message = |kind: Option<&str>| {
            let kind = kind.map(|kind| Name::new(kind).unwrap());
            ClientAction::Message(ClientMessage { op: 0, kind, data: Payload::EMPTY, reply_to: None })
        };
        assert_eq!(encoded(None, ClientAction::Connected), r#"{"type":"connection","portalId":"P"}"#);
        assert_eq!(
            encoded(Some("1"), ClientAction::Authenticated),
            r#"{"type":"authentication","clientId":"1","portalId":"P"}"#
        );
        assert_eq!(
            encoded(Some("1"), message(Some("PING"))),
            r#"{"type":"message","message":{"op":0,"d":{},"t":"PING"},"clientId":"1","portalId":"P"}"#
        );
        assert_eq!(
            encoded(None, message(None)),
            r#"{"type":"message","message":{"op":0,"d":{}},"portalId":"P"}"#
        );
        assert_eq!(
            encoded(Some("1"), ClientAction::Disconnected { code: 1000 }),
            r#"{"type":"disconnection","clientId":"1","portalId":"P"}"#
        );
    }
}
