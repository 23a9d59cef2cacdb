//! Occupied rooms: reports that a room got its first member, and that it has been without members for a while.
//!
//! Each node counts its own members of a room. The first and the last are compared with the rooms of all nodes, which are
//! in Redis, so each change is reported once. Without Redis this node's count decides.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use switchboard_backplane::{ClientAction, Report, ReportSink};
use switchboard_event::{ProjectId, RoomName, SocketId, unix_ms};
use switchboard_log::{limited, printable_error};
use switchboard_redis::RedisOccupancy;
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio::time::{Instant, sleep_until};

use super::endpoint::Endpoint;
use super::event_kind::EventKind;

/// Pause after Redis could not be asked.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

type Room = (ProjectId, RoomName);

/// The occupied rooms of a node.
pub(crate) struct Occupancy {
    endpoints: Vec<Arc<Endpoint>>,
    grace: Duration,
    shared: Option<RedisOccupancy>,
    reports: Arc<dyn ReportSink>,
    state: Mutex<State>,
    changed: Notify,
    /// Held while a question is answered, so that the reports have the order of the questions.
    turn: AsyncMutex<()>,
}

#[derive(Default)]
struct State {
    /// The members on this node of rooms that have some.
    members: HashMap<Room, usize>,
    /// A query of the occupancy, and its time.
    due: BTreeMap<(Instant, u64), (Room, Question)>,
    /// The check of a room without members on this node.
    checks: HashMap<Room, (Instant, u64)>,
    last: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    IsNewlyOccupied,
    IsVacated,
}

impl State {
    fn ask(&mut self, at: Instant, room: Room, question: Question) {
        self.last += 1;
        let key = (at, self.last);
        if question == Question::IsVacated
            && let Some(earlier) = self.checks.insert(room.clone(), key)
        {
            self.due.remove(&earlier);
        }
        self.due.insert(key, (room, question));
    }

    /// Takes the first question that is due.
    fn take(&mut self, now: Instant) -> Option<(Room, Question)> {
        let entry = self.due.first_entry().filter(|entry| entry.key().0 <= now)?;
        let (room, question) = entry.remove();
        if question == Question::IsVacated {
            self.checks.remove(&room);
        }
        Some((room, question))
    }

    fn joined(&mut self, now: Instant, room: Room) {
        let members = self.members.entry(room.clone()).or_default();
        *members += 1;
        if *members > 1 {
            return;
        }
        match self.checks.remove(&room) {
            // It did not stay without members for long enough.
            Some(check) => drop(self.due.remove(&check)),
            None => self.ask(now, room, Question::IsNewlyOccupied),
        }
    }

    /// Returns true if the room has no member on this node any more.
    fn left(&mut self, room: &Room) -> bool {
        let Some(members) = self.members.get_mut(room) else { return true };
        *members -= 1;
        if *members == 0 {
            self.members.remove(room);
        }
        !self.members.contains_key(room)
    }
}

impl Occupancy {
    /// `None` if no endpoint receives the reports.
    pub(crate) fn new(
        endpoints: Vec<Arc<Endpoint>>,
        grace: Duration,
        shared: Option<RedisOccupancy>,
        reports: Arc<dyn ReportSink>,
    ) -> Option<Arc<Self>> {
        let is_wanted = |endpoint: &Arc<Endpoint>| {
            let events = endpoint.filter.events;
            events.contains(EventKind::Occupied) || events.contains(EventKind::Vacated)
        };
        let endpoints: Vec<_> = endpoints.into_iter().filter(is_wanted).collect();
        let (state, changed, turn) = (Mutex::default(), Notify::new(), AsyncMutex::default());
        let occupancy = Occupancy { endpoints, grace, shared, reports, state, changed, turn };
        (!occupancy.endpoints.is_empty()).then(|| Arc::new(occupancy))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code that holds the rooms panics")
    }

    fn is_watched(&self, (project, room): &Room) -> bool {
        let watches = |endpoint: &Arc<Endpoint>| endpoint.filter.takes_rooms_of(project, room);
        self.endpoints.iter().any(watches)
    }

    /// Takes note of a join or leave.
    fn note(&self, report: &Report) {
        let (room, joined) = match &report.action {
            ClientAction::Joined(room) => (room, true),
            ClientAction::Left(room) => (room, false),
            _ => return,
        };
        let room = (report.project.clone(), room.clone());
        if !self.is_watched(&room) {
            return;
        }
        let (mut state, now) = (self.state(), Instant::now());
        if joined {
            state.joined(now, room);
        } else {
            // The client of a crashed node was not counted here.
            let is_of_crashed_node = report.protocol.is_none();
            let is_empty =
                if is_of_crashed_node { !state.members.contains_key(&room) } else { state.left(&room) };
            if is_empty {
                state.ask(now + self.grace, room, Question::IsVacated);
            }
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Answers the questions when they are due.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            let turn = self.turn.lock().await;
            let taken = self.state().take(Instant::now());
            if let Some((room, question)) = taken {
                if !self.answer(&room, question).await {
                    self.state().ask(Instant::now() + RETRY_PAUSE, room, question);
                }
                continue;
            }
            drop(turn);
            let next = self.state().due.keys().next().map(|(at, _)| *at);
            tokio::select! {
                () = self.changed.notified() => {}
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
        }
    }

    /// Answers all questions now, because the node stops.
    pub(crate) async fn finish(&self) {
        let _turn = self.turn.lock().await;
        loop {
            let taken = {
                let mut state = self.state();
                let last = state.due.keys().next_back().map(|(at, _)| *at);
                last.and_then(|last| state.take(last))
            };
            let Some((room, question)) = taken else { return };
            self.answer(&room, question).await;
        }
    }

    /// Reports a change. Returns false if Redis could not be asked.
    async fn answer(&self, (project, room): &Room, question: Question) -> bool {
        let changed = match (&self.shared, question) {
            (None, _) => Ok(true),
            (Some(shared), Question::IsNewlyOccupied) => shared.occupy(project, room).await,
            (Some(shared), Question::IsVacated) => shared.vacate(project, room).await,
        };
        match changed {
            Ok(changed) => {
                if changed {
                    self.report(project, room, question);
                }
                true
            }
            Err(error) => {
                limited!(
                    WARN,
                    error = printable_error(&error),
                    "cannot find out whether a room is occupied yet"
                );
                false
            }
        }
    }

    fn report(&self, project: &ProjectId, room: &RoomName, question: Question) {
        let action = match question {
            Question::IsNewlyOccupied => ClientAction::Occupied,
            Question::IsVacated => ClientAction::Vacated,
        };
        self.reports.report(Report {
            project: project.clone(),
            socket: id_of(room),
            protocol: None,
            user: None,
            time_ms: unix_ms(SystemTime::now()),
            action: action(room.clone()),
        });
    }
}

/// The same id for all reports of a room, on every node, so that they keep their order.
fn id_of(room: &RoomName) -> SocketId {
    let mut hasher = DefaultHasher::new();
    room.hash(&mut hasher);
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&hasher.finish().to_be_bytes());
    SocketId::from_bytes(bytes)
}

/// A sink that also takes note of joins and leaves.
pub(crate) struct OccupancySink {
    pub(crate) occupancy: Arc<Occupancy>,
}

impl ReportSink for OccupancySink {
    fn accepts(&self, project: &ProjectId, needs_reply: bool) -> bool {
        self.occupancy.reports.accepts(project, needs_reply)
    }

    fn report(&self, report: Report) {
        self.occupancy.note(&report);
        self.occupancy.reports.report(report);
    }
}
