//! Compares an inbox with a simple model under random operations.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use switchboard_event::{Event, MessageNumber, Payload, ProjectId, SocketId, UserId};

use super::inbox::connect_user;
use super::support::name;
use super::{TestNode, TestSocket};
use crate::{Inbox, InboxLimits, InboxPage, Stored};

/// The limits of the inbox of [`random_operations`], so small that every bound is reached often.
pub const SMALL: InboxLimits = InboxLimits {
    messages_max: 40,
    bytes_max: 2400,
    age_max_ms: 3_600_000,
    project_messages_max: 90,
    project_bytes_max: 6000,
};

const STEPS: usize = 600;

const USERS: [&str; 4] = ["a", "b", "c", "d"];

/// A stored message: its number, its event's name, and its size.
type Message = (MessageNumber, String, usize);

#[derive(Default)]
struct Model {
    inboxes: BTreeMap<&'static str, VecDeque<Message>>,
    numbers: Vec<MessageNumber>,
}

/// An inbox, its model, and the operations so far.
struct Run<'a> {
    inbox: &'a dyn Inbox,
    project: ProjectId,
    sockets: BTreeMap<&'static str, SocketId>,
    model: Model,
    random: StdRng,
    history: Vec<String>,
}

impl Model {
    fn messages(&self) -> impl Iterator<Item = &Message> {
        self.inboxes.values().flatten()
    }

    /// Returns true if a message of that size fits in the project once `evicted` are removed.
    fn has_space(&self, evicted: &[Message], size: usize) -> bool {
        let bytes: usize = self.messages().map(|message| message.2).sum();
        let freed: usize = evicted.iter().map(|message| message.2).sum();
        ((self.messages().count() - evicted.len()) as u64) < SMALL.project_messages_max
            && (bytes - freed + size) as u64 <= SMALL.project_bytes_max
    }

    /// A user's oldest messages that a message of that size evicts.
    fn evicted_by(&self, user: &str, size: usize) -> Vec<Message> {
        let mut stored: VecDeque<Message> = self.inboxes.get(user).cloned().unwrap_or_default();
        let mut evicted = Vec::new();
        let fits = |stored: &VecDeque<Message>| {
            let bytes: usize = stored.iter().map(|message| message.2).sum();
            (stored.len() as u64) < SMALL.messages_max && (bytes + size) as u64 <= SMALL.bytes_max
        };
        while !fits(&stored) {
            evicted.extend(stored.pop_front());
        }
        evicted
    }

    /// Returns how many inboxes store the message, and how many messages it evicts.
    fn put(&mut self, users: &[&'static str], message: &Message) -> (usize, usize) {
        let (mut inboxes, mut evicted) = (0, 0);
        for user in users {
            if message.2 as u64 > SMALL.bytes_max {
                continue;
            }
            let oldest = self.evicted_by(user, message.2);
            if self.has_space(&oldest, message.2) {
                let inbox = self.inboxes.entry(user).or_default();
                inbox.drain(..oldest.len());
                inbox.push_back(message.clone());
                inboxes += 1;
                evicted += oldest.len();
            }
        }
        (inboxes, evicted)
    }

    fn open(&self, user: &str, after: Option<MessageNumber>, most: usize) -> Vec<Message> {
        let inbox = self.inboxes.get(user).into_iter().flatten();
        inbox.filter(|message| after.is_none_or(|after| message.0 > after)).take(most).cloned().collect()
    }
}

impl Run<'_> {
    async fn step(&mut self) {
        let user = *USERS.choose(&mut self.random).expect("there are users");
        match self.random.random_range(0..20) {
            0..12 => self.put().await,
            12..16 => self.acknowledge(user).await,
            16..19 => self.open(user).await,
            _ => {
                self.history.push(format!("clear {user}"));
                self.inbox.clear(&self.project, &name(user)).await.expect("the inbox replies");
                self.model.inboxes.remove(user);
            }
        }
        for user in USERS {
            self.check(user, None, usize::MAX >> 1).await;
        }
    }

    async fn put(&mut self) {
        let count = self.random.random_range(1..=3);
        let mut users: Vec<&str> = USERS.sample(&mut self.random, count).copied().collect();
        // The order in which the inbox serves several users is undefined.
        users.sort_unstable();
        // Mostly small messages, sometimes one over every bound.
        let most = if self.random.random_ratio(1, 20) { SMALL.bytes_max as usize + 100 } else { 150 };
        let (text, data) = (format!("e{}", self.history.len()), self.random.random_range(2..most));
        self.history.push(format!("put {data} bytes for {users:?}"));
        let ids: Vec<UserId> = users.iter().map(|user| name(user)).collect();
        let payload = Payload::parse(&format!("\"{}\"", "x".repeat(data - 2))).expect("a text is JSON");
        let event = Event { name: name(&text), data: payload, sender: None, time_ms: 0, trace: None };
        let Stored { number, inboxes, evicted } =
            self.inbox.put(&self.project, &ids, &event).await.expect("the inbox replies");
        let size = text.len() + data;
        let expected = self.model.put(&users, &(number, text, size));
        assert_eq!((inboxes, evicted), expected, "{:#?}", self.history);
        self.model.numbers.push(number);
    }

    async fn acknowledge(&mut self, user: &'static str) {
        let inbox = self.model.inboxes.entry(user).or_default();
        let mut numbers: Vec<MessageNumber> = inbox.iter().map(|message| message.0).collect();
        match self.random.random_range(0..4) {
            // All, the oldest, or some in any order with some that are not stored.
            0 => {}
            1 | 2 => numbers.truncate(self.random.random_range(0..=numbers.len())),
            _ => {
                let some = self.random.random_range(0..5);
                numbers = numbers.sample(&mut self.random, some).copied().collect();
                numbers.extend(self.model.numbers.sample(&mut self.random, 2).copied());
            }
        }
        self.history.push(format!("acknowledge {numbers:?} of {user}"));
        inbox.retain(|message| !numbers.contains(&message.0));
        self.inbox.acknowledge(&self.project, &name(user), numbers);
        self.inbox.settled().await;
    }

    async fn open(&mut self, user: &'static str) {
        let after = self.model.numbers.choose(&mut self.random).copied();
        let most = self.random.random_range(0..50);
        self.history.push(format!("open {user} after {after:?}, {most}"));
        self.check(user, after, most).await;
    }

    async fn check(&mut self, user: &str, after: Option<MessageNumber>, most: usize) {
        let socket = self.sockets[user];
        let opened = self.inbox.open(&self.project, &name(user), socket, after, most).await;
        let InboxPage { messages, held_by, .. } = opened.expect("the inbox replies");
        assert_eq!(held_by, None);
        let found: Vec<_> =
            messages.into_iter().map(|message| (message.number, message.event.name.to_string())).collect();
        let expected = self.model.open(user, after, most).into_iter();
        let expected: Vec<_> = expected.map(|(number, event, _)| (number, event)).collect();
        assert_eq!(found, expected, "{user}: {:#?}", self.history);
    }
}

/// Runs random operations on an inbox with the limits [`SMALL`] and on the model, and compares them after each.
/// The seed determines all operations.
pub async fn random_operations<N: TestNode>(node: &N, inbox: &Arc<dyn Inbox>, seed: u64) {
    inbox.start(node.receiver());
    let sockets = USERS.map(|user| (user, connect_user(node, "random", user).id()));
    let mut run = Run {
        inbox: &**inbox,
        project: name("random"),
        sockets: sockets.into(),
        model: Model::default(),
        random: StdRng::seed_from_u64(seed),
        history: vec![format!("seed {seed}")],
    };
    for _ in 0..STEPS {
        run.step().await;
    }
}
