//! Compares a history with a simple model under random operations.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use switchboard_event::{Epoch, Event, Payload, ProjectId, RoomName};

use super::support::name;
use crate::{AppendOutcome, History, HistoryLimits, HistoryPage, HistoryRange, RoomMessage};

const STEPS: usize = 600;

const ROOMS: [&str; 3] = ["a", "b", "c"];

/// So small that both bounds are reached often.
const LIMITS: HistoryLimits = HistoryLimits { messages_max: 12, bytes_max: 900, age_max_ms: 3_600_000 };

#[derive(Default)]
struct Model {
    top: u64,
    /// Numbers, names and sizes.
    messages: Vec<(u64, String, u64)>,
    /// Set at the first read.
    epoch: Option<Epoch>,
}

impl Model {
    fn append(&mut self, event: String, size: u64) {
        self.top += 1;
        self.messages.push((self.top, event, size));
        while self.messages.len() as u64 > LIMITS.messages_max
            || self.messages.iter().map(|message| message.2).sum::<u64>() > LIMITS.bytes_max
        {
            self.messages.remove(0);
        }
    }

    fn read(&self, range: HistoryRange, limit: usize) -> Vec<(u64, String)> {
        let all = self.messages.iter().map(|(offset, event, _)| (*offset, event.clone()));
        let latest = |before: u64| {
            let mut kept: Vec<_> = all.clone().filter(|message| message.0 < before).collect();
            kept.split_off(kept.len().saturating_sub(limit))
        };
        match range {
            HistoryRange::Latest => latest(u64::MAX),
            HistoryRange::Before(offset) => latest(offset),
            HistoryRange::After(offset) => {
                all.clone().filter(|message| message.0 > offset).take(limit).collect()
            }
        }
    }
}

struct Run<'a> {
    history: &'a dyn History,
    project: ProjectId,
    rooms: BTreeMap<&'static str, Model>,
    random: StdRng,
    operations: Vec<String>,
}

impl Run<'_> {
    async fn step(&mut self) {
        let room = *ROOMS.choose(&mut self.random).expect("there are rooms");
        match self.random.random_range(0..40) {
            0..24 => self.append(room).await,
            24..39 => self.read(room).await,
            _ => {
                self.operations.push(format!("clear {room}"));
                self.history.clear(&self.project, &name(room)).await.expect("the history replies");
                self.rooms.insert(room, Model::default());
            }
        }
    }

    async fn append(&mut self, room: &'static str) {
        let event = format!("e{}", self.operations.len());
        // Mostly small messages, sometimes one over the bound.
        let most = if self.random.random_ratio(1, 20) { 1000 } else { 150 };
        let bytes = self.random.random_range(2..most);
        self.operations.push(format!("append {bytes} bytes to {room}"));
        let data = Payload::parse(&format!("\"{}\"", "x".repeat(bytes - 2))).expect("a text is JSON");
        let size = (event.len() + bytes) as u64;
        let sent = Event { name: name(&event), data, sender: None, time_ms: 0, trace: None };
        let room_name: RoomName = name(room);
        let message = RoomMessage { project: &self.project, room: &room_name, except: &[], event: &sent };
        assert_ne!(self.history.append(message, &LIMITS, &mut |_| ()), AppendOutcome::Unavailable);
        self.history.settled().await;
        self.rooms.entry(room).or_default().append(event, size);
    }

    async fn read(&mut self, room: &'static str) {
        let top = self.rooms.entry(room).or_default().top;
        let offset = self.random.random_range(0..top + 5);
        let limit = self.random.random_range(0..20);
        let ranges = [HistoryRange::Latest, HistoryRange::Before(offset), HistoryRange::After(offset)];
        let range = *ranges.choose(&mut self.random).expect("there are ranges");
        self.operations.push(format!("read {range:?} of {room}, at most {limit}"));
        let read = self.history.read(&self.project, &name(room), &LIMITS, range, limit).await;
        let HistoryPage { epoch, top, first, messages } = read.expect("the history replies");
        let found: Vec<_> =
            messages.into_iter().map(|message| (message.offset, message.event.name.to_string())).collect();
        let model = self.rooms.get_mut(room).expect("the room was just entered");
        assert_eq!(found, model.read(range, limit), "{:#?}", self.operations);
        let oldest = model.messages.first().map_or(model.top + 1, |message| message.0);
        assert_eq!((top, first), (model.top, oldest), "{:#?}", self.operations);
        assert_eq!(*model.epoch.get_or_insert(epoch), epoch, "{:#?}", self.operations);
    }
}

/// Runs random operations on a history and on the model, and compares them. The seed determines all operations.
pub async fn random_operations(history: &Arc<dyn History>, seed: u64) {
    let mut run = Run {
        history: &**history,
        project: name("random"),
        rooms: BTreeMap::default(),
        random: StdRng::seed_from_u64(seed),
        operations: vec![format!("seed {seed}")],
    };
    for _ in 0..STEPS {
        run.step().await;
    }
}
