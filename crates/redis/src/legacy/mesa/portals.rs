//! Original Mesa Portals: the pool of Portals, and reports in their format.
//!
//! With the namespace `api`; without one, the names have no suffix:
//!
//! | name | type | content |
//! |---|---|---|
//! | `portal_api` | channel | reports, each with the id of the Portal that it is for |
//! | `available_portals_pool_api` | set | ids of Portals; the id of a killed Portal remains |
//! | `available_portals_pool_api` | channel | `{"id":"…","ready":true}` or `false` |
//!
//! A Portal ignores reports for another Portal, unless it is configured to take all.

mod pool;
mod report;

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use futures_util::future::BoxFuture;
use metrics::{Counter, counter};
use redis::{Cmd, RedisResult, cmd};
use switchboard_backplane::Report;
use switchboard_event::ProjectId;
use switchboard_log::{limited, printable_error};
use tokio::time::Instant;

use pool::Pool;
use report::encode;

use super::namespace::suffixed;
use crate::connection::RedisConnection;
use crate::options::LegacyPortals;
use crate::reports::DirectReceivers;

/// Maximum number of queued announcements. At the bound the oldest is dropped.
const ANNOUNCEMENTS_MAX: usize = 4096;

/// How soon the set is read again after reports had no subscriber.
const SUSPECT_INTERVAL: Duration = Duration::from_secs(1);

/// The Portals of one namespace.
pub(in crate::legacy) struct MesaPortals {
    options: LegacyPortals,
    /// The channel of reports.
    channel: String,
    /// The set of Portals, and the channel that announces its changes.
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
    /// The last read found more subscribers than known Portals.
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
            if let Err(error) = state.pool.apply_announcement(message) {
                self.undecodable.increment(1);
                limited!(
                    DEBUG,
                    error = printable_error(&error),
                    "announcement of an original Portal cannot be decoded; it is dropped"
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

    fn queue_announcement(&self, message: Vec<u8>) {
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
        let message = encode(report, state.pool.next()?)?;
        let mut command = cmd("PUBLISH");
        command.arg(&self.channel).arg(message);
        Some(command)
    }

    /// All Portals of the pool were killed, or have not subscribed yet.
    fn no_subscriber(&self) {
        self.without_subscriber.increment(1);
        let mut state = self.state();
        state.pool.suspect_all(Vec::new());
        state.read_at.get_or_insert(Instant::now() + SUSPECT_INTERVAL);
    }
}

impl PortalsState {
    /// Compares the set with the number of subscribers: the ids of killed Portals remain in the set. A suspect
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
