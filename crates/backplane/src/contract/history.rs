//! The contract tests of [`History`].

use std::sync::Arc;
use std::time::Duration;

use switchboard_event::{Event, Payload, Position, ProjectId, RoomName, SocketId, Target};

use super::support::{name, until};
use crate::{AppendOutcome, History, HistoryLimits, HistoryPage, HistoryRange, RecordedMessage, RoomMessage};

/// The history of one room.
struct Room<'a> {
    history: &'a dyn History,
    project: ProjectId,
    room: RoomName,
    limits: HistoryLimits,
}

impl<'a> Room<'a> {
    fn new(history: &'a Arc<dyn History>, room: &str, limits: HistoryLimits) -> Self {
        Room { history: &**history, project: name("history"), room: name(room), limits }
    }

    async fn append(&self, event: &str) {
        self.append_except(event, 2, &[]).await;
    }

    /// Appends an event with this many bytes of data, and waits until it has its number.
    async fn append_except(&self, event: &str, bytes: usize, except: &[Target]) {
        let data = Payload::parse(&format!("\"{}\"", "x".repeat(bytes - 2))).expect("a text is JSON");
        let event = Event { name: name(event), data, sender: None, time_ms: 1, trace: None };
        let message = RoomMessage { project: &self.project, room: &self.room, except, event: &event };
        let mut delivered = None;
        let appended = self.history.append(message, &self.limits, &mut |position| delivered = Some(position));
        assert_ne!(appended, AppendOutcome::Unavailable);
        assert_eq!(
            appended == AppendOutcome::Delivered,
            delivered.is_some(),
            "it is delivered at once or later"
        );
        self.history.settled().await;
        if let Some(position) = delivered {
            assert_eq!(self.top().await, position);
        }
    }

    async fn read(&self, range: HistoryRange, limit: usize) -> HistoryPage {
        let read = self.history.read(&self.project, &self.room, &self.limits, range, limit).await;
        read.expect("the history replies")
    }

    async fn top(&self) -> Position {
        let top = self.history.top(&self.project, &self.room, &self.limits).await;
        top.expect("the history replies")
    }

    /// The numbers and the names of events.
    async fn names(&self, range: HistoryRange, limit: usize) -> Vec<(u64, String)> {
        let page = self.read(range, limit).await;
        page.messages.into_iter().map(|message| (message.offset, message.event.name.to_string())).collect()
    }

    async fn clear(&self) {
        self.history.clear(&self.project, &self.room).await.expect("the history replies");
    }
}

fn numbered(offsets: std::ops::RangeInclusive<u64>) -> Vec<(u64, String)> {
    offsets.map(|offset| (offset, format!("e{offset}"))).collect()
}

/// Numbers, ranges, rooms, exceptions and epochs.
pub async fn messages(history: &Arc<dyn History>) {
    let room = Room::new(history, "messages", HistoryLimits::default());
    let begin = room.top().await;
    assert_eq!(begin.offset, 0);
    let empty = room.read(HistoryRange::Latest, 10).await;
    assert_eq!((empty.first, empty.top, empty.messages.len(), empty.epoch), (1, 0, 0, begin.epoch));

    for n in 1..=5 {
        room.append(&format!("e{n}")).await;
    }
    assert_eq!(room.top().await, Position { epoch: begin.epoch, offset: 5 });
    assert!(room.read(HistoryRange::Latest, 0).await.continues(begin));
    assert_eq!(room.names(HistoryRange::Latest, 2).await, numbered(4..=5));
    assert_eq!(room.names(HistoryRange::Latest, 99).await, numbered(1..=5));
    assert_eq!(room.names(HistoryRange::Before(4), 2).await, numbered(2..=3));
    assert_eq!(room.names(HistoryRange::Before(1), 9).await, []);
    assert_eq!(room.names(HistoryRange::Before(u64::MAX), 1).await, numbered(5..=5));
    assert_eq!(room.names(HistoryRange::After(0), 2).await, numbered(1..=2));
    assert_eq!(room.names(HistoryRange::After(3), 9).await, numbered(4..=5));
    for beyond in [5, 6, u64::MAX] {
        assert_eq!(room.names(HistoryRange::After(beyond), 9).await, []);
    }

    // Rooms have their own numbers, and projects their own rooms.
    let other = Room::new(history, "other", HistoryLimits::default());
    let elsewhere =
        Room { project: name("elsewhere"), ..Room::new(history, "messages", HistoryLimits::default()) };
    for room in [&other, &elsewhere] {
        room.append("e1").await;
        assert_eq!(room.names(HistoryRange::Latest, 9).await, numbered(1..=1));
        assert_ne!(room.top().await.epoch, begin.epoch);
    }

    // Everything of a message is kept.
    let except = [
        Target::Socket(SocketId::random()),
        Target::User(name("7")),
        Target::Tag(name("t")),
        Target::Room(name("#odd")),
        Target::Everyone,
    ];
    room.append_except("e6", 1000, &except).await;
    let RecordedMessage { offset, except: kept, event } =
        room.read(HistoryRange::Latest, 1).await.messages.remove(0);
    assert_eq!((offset, &kept[..], event.time_ms), (6, &except[..], 1));
    assert_eq!(event.data.as_bytes().len(), 1000);

    // Another epoch announces the removal.
    room.clear().await;
    let cleared = room.top().await;
    assert_eq!(cleared.offset, 0);
    assert_ne!(cleared.epoch, begin.epoch);
    assert!(!room.read(HistoryRange::Latest, 0).await.continues(Position { offset: 0, ..begin }));
    room.append("e1").await;
    assert_eq!(room.top().await, Position { offset: 1, ..cleared });
}

/// The bounds on the number and the bytes of a room's messages.
pub async fn bounds(history: &Arc<dyn History>) {
    let limits = HistoryLimits { messages_max: 3, bytes_max: 300, ..HistoryLimits::default() };
    let room = Room::new(history, "bounds", limits);
    for n in 1..=5 {
        room.append(&format!("e{n}")).await;
    }
    let page = room.read(HistoryRange::After(1), 9).await;
    assert_eq!((page.first, page.top, page.messages.len()), (3, 5, 3));
    let at = |offset| Position { epoch: page.epoch, offset };
    assert_eq!([1, 2, 5].map(|offset| page.continues(at(offset))), [false, true, true]);

    // A large message removes as many as it needs.
    room.append_except("e6", 294, &[]).await;
    assert_eq!(room.names(HistoryRange::Latest, 9).await, numbered(5..=6));
    // One that does not fit is numbered and not kept.
    room.append_except("e7", 300, &[]).await;
    let page = room.read(HistoryRange::Latest, 9).await;
    assert_eq!((page.first, page.top, page.messages.len()), (8, 7, 0));
    room.append("e8").await;
    assert_eq!(room.names(HistoryRange::After(0), 9).await, numbered(8..=8));

    // Without messages to keep, a room still numbers them.
    let numbers = Room::new(history, "numbers", HistoryLimits { messages_max: 0, ..limits });
    numbers.append("e1").await;
    assert_eq!(numbers.top().await.offset, 1);
    assert_eq!(numbers.names(HistoryRange::After(0), 9).await, []);
}

/// The bound on the age of messages. Old messages are removed; the numbers go on.
pub async fn age(history: &Arc<dyn History>) {
    let brief = HistoryLimits { age_max_ms: 300, ..HistoryLimits::default() };
    let room = Room::new(history, "age", brief);
    room.append("e1").await;
    let epoch = room.top().await.epoch;
    until("the message expires", async || {
        history.sweep();
        let page = room.read(HistoryRange::Latest, 9).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        page.messages.is_empty()
    })
    .await;
    let page = room.read(HistoryRange::Latest, 9).await;
    assert_eq!((page.epoch, page.first, page.top), (epoch, 2, 1));
    let long = Room { limits: HistoryLimits::default(), ..Room::new(history, "age", brief) };
    long.append("e2").await;
    assert_eq!(long.names(HistoryRange::Latest, 9).await, numbered(2..=2));
}
