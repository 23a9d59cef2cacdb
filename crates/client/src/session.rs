//! The session at the server, which the client resumes after it has lost its connection.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use switchboard_event::Payload;
use tokio::time::Instant;

/// The event with which the server offers a ticket.
pub(crate) const SESSION: &str = "@session";

/// The ticket of the current session, if the server has offered one.
#[derive(Default)]
pub(crate) struct Session(Mutex<State>);

#[derive(Default)]
struct State {
    ticket: Option<String>,
    keep: Duration,
    /// When the connection was lost.
    lost: Option<Instant>,
    /// The last known position of each room with a history.
    positions: HashMap<String, Position>,
    /// For rooms of which no message has arrived: the end of their history when the program read it.
    read: HashMap<String, Position>,
}

/// A place in the history of a room.
#[derive(Deserialize, Serialize)]
struct Position {
    epoch: String,
    offset: u64,
}

/// Whether a message was received before.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    New,
    /// It was received before, which happens around a resume.
    Copy,
    /// It is new, and the history of this room has begun another epoch since the last one: others may be lost.
    NewEpoch(String),
}

/// The data of `@recovered`, as far as it matters here.
#[derive(Deserialize)]
struct Recovered {
    rooms: HashMap<String, RoomRecovery>,
}

#[derive(Deserialize)]
struct RoomRecovery {
    at: Option<Position>,
}

/// The data of `@joined`, and the members of a frame that has a position.
#[derive(Deserialize)]
struct Positioned {
    room: String,
    position: Position,
}

/// Maximum number of rooms with a position that comes from a read of their history.
const READ_MAX: usize = 1000;

/// A server writes the position before the data, within this many bytes: names have at most 256.
const POSITION_WITHIN: usize = 4096;

#[derive(Deserialize)]
struct Offer {
    ticket: Option<String>,
    #[serde(default)]
    seconds: u64,
    #[serde(default)]
    resumed: bool,
}

impl Session {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no code that holds the session panics")
    }

    /// Takes the data of `@session`. Returns true if the session was resumed.
    pub(crate) fn begin(&self, data: &Payload) -> bool {
        let Ok(Offer { ticket, seconds, resumed }) = data.to() else { return false };
        let mut state = self.state();
        // A new session is in no room.
        let State { positions, read, .. } = std::mem::take(&mut *state);
        let (positions, read) = if resumed { (positions, read) } else { Default::default() };
        *state = State { ticket, keep: Duration::from_secs(seconds), lost: None, positions, read };
        resumed
    }

    /// Records the position of a frame.
    pub(crate) fn arrived(&self, frame: &[u8]) -> Arrival {
        const MEMBER: &[u8] = b"\"position\":";
        let head = &frame[..frame.len().min(POSITION_WITHIN)];
        let mut state = self.state();
        if state.ticket.is_none() || !head.windows(MEMBER.len()).any(|part| part == MEMBER) {
            return Arrival::New;
        }
        let Ok(Positioned { room, position }) = serde_json::from_slice(frame) else { return Arrival::New };
        let last = state.positions.get(&room);
        if last.is_some_and(|last| last.epoch == position.epoch && position.offset <= last.offset) {
            return Arrival::Copy;
        }
        let is_other_epoch = last.is_some_and(|last| last.epoch != position.epoch);
        state.positions.insert(room.clone(), position);
        if is_other_epoch { Arrival::NewEpoch(room) } else { Arrival::New }
    }

    /// The program has read the latest messages of a room, up to this offset: a resume continues behind them.
    pub(crate) fn has_read(&self, room: &str, epoch: &str, offset: u64) {
        let mut state = self.state();
        if state.ticket.is_some() && state.read.len() < READ_MAX {
            state.read.insert(room.to_owned(), Position { epoch: epoch.to_owned(), offset });
        }
    }

    /// Takes the data of `@recovered`: where the history of a room that was not recovered ends.
    pub(crate) fn recovered(&self, data: &Payload) {
        let Ok(Recovered { rooms }) = data.to() else { return };
        let ends = rooms.into_iter().filter_map(|(room, recovery)| Some((room, recovery.at?)));
        self.state().positions.extend(ends);
    }

    /// Takes the data of `@joined`: where the history of a room was at the join. A message that has arrived in between is later.
    pub(crate) fn joined(&self, data: &Payload) {
        let Ok(Positioned { room, position }) = data.to() else { return };
        let mut state = self.state();
        let is_later = |last: &Position| last.epoch == position.epoch && last.offset >= position.offset;
        if state.ticket.is_some() && !state.positions.get(&room).is_some_and(is_later) {
            state.positions.insert(room, position);
        }
    }

    /// The message that shows the positions, which is the first after a resume.
    pub(crate) fn resume_message(&self) -> String {
        let state = self.state();
        let mut rooms: HashMap<&String, &Position> = state.read.iter().collect();
        rooms.extend(&state.positions);
        json!({ "event": "@resume", "data": rooms }).to_string()
    }

    /// The connection is lost: from now on the server keeps the session for a while.
    pub(crate) fn lose(&self) {
        let mut state = self.state();
        state.lost = state.lost.or_else(|| Some(Instant::now()));
    }

    /// The ticket, as long as the server keeps the session.
    pub(crate) fn ticket(&self) -> Option<String> {
        let state = self.state();
        let is_over = state.lost.is_some_and(|lost| lost.elapsed() >= state.keep);
        state.ticket.clone().filter(|_| !is_over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_ticket_is_shown_for_as_long_as_the_server_keeps_the_session() {
        let session = Session::default();
        assert_eq!(session.ticket(), None);
        let offer = |resumed| json!({ "ticket": "t", "seconds": 60, "resumed": resumed });
        assert!(!session.begin(&Payload::of(&offer(false)).unwrap()));
        tokio::time::advance(Duration::from_secs(1000)).await;
        session.lose();
        tokio::time::advance(Duration::from_secs(59)).await;
        session.lose();
        assert_eq!(session.ticket().as_deref(), Some("t"));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(session.ticket(), None);
        assert!(session.begin(&Payload::of(&offer(true)).unwrap()));
        assert_eq!(session.ticket().as_deref(), Some("t"));
    }

    #[test]
    fn a_message_is_new_once_and_positions_end_with_the_session() {
        let session = Session::default();
        let frame = |epoch: &str, offset: u64| {
            let position = json!({ "epoch": epoch, "offset": offset });
            json!({ "event": "e", "room": "#r", "position": position, "data": 1 }).to_string().into_bytes()
        };
        let offer =
            |resumed| Payload::of(&json!({ "ticket": "t", "seconds": 60, "resumed": resumed })).unwrap();
        session.begin(&offer(false));
        let new = [("a", 2), ("a", 2), ("a", 1), ("a", 3), ("b", 1)];
        let new = new.map(|(epoch, offset)| session.arrived(&frame(epoch, offset)));
        let other_epoch = Arrival::NewEpoch("#r".to_owned());
        assert_eq!(new, [Arrival::New, Arrival::Copy, Arrival::Copy, Arrival::New, other_epoch]);
        assert_eq!(session.arrived(b"{\"event\":\"e\",\"data\":{\"position\":7}}"), Arrival::New);
        let at = json!({ "rooms": { "#r": { "recovered": false, "at": { "epoch": "c", "offset": 4 } } } });
        session.recovered(&Payload::of(&at).unwrap());
        assert_eq!(session.arrived(&frame("c", 5)), Arrival::New, "it was told of that epoch");
        session.recovered(&Payload::of(&json!({ "rooms": 7 })).unwrap());
        session.begin(&offer(true));
        let shown = json!({ "event": "@resume", "data": { "#r": { "epoch": "c", "offset": 5 } } });
        assert_eq!(session.resume_message(), shown.to_string());
        let joined = |epoch: &str, offset: u64| {
            let position = json!({ "epoch": epoch, "offset": offset });
            session.joined(&Payload::of(&json!({ "room": "#r", "position": position })).unwrap());
            session.resume_message()
        };
        assert_eq!(joined("c", 4), shown.to_string(), "a message that is later has arrived");
        let shown = json!({ "event": "@resume", "data": { "#r": { "epoch": "d", "offset": 0 } } });
        assert_eq!(joined("d", 0), shown.to_string());
        session.begin(&offer(false));
        assert_eq!(session.resume_message(), json!({ "event": "@resume", "data": {} }).to_string());
    }

    #[test]
    fn an_offer_without_a_ticket_or_of_another_form_is_no_session() {
        let session = Session::default();
        for data in [json!({ "resumed": false, "reason": "off" }), json!(7), json!({ "ticket": 7 })] {
            assert!(!session.begin(&Payload::of(&data).unwrap()));
            assert_eq!(session.ticket(), None);
        }
    }
}
