//! The contract tests of `Inbox`.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use switchboard_backplane::{Content, Inbox, InboxLimits, Publication, Receiver, Stored, StoredMessage};
use switchboard_event::{Event, MessageNumber, Name, Payload, ProjectId, SocketId, Target, UserId};
use switchboard_hub::HubEvent;
use tokio::task::JoinSet;

use super::{Member, Node, name};
use crate::soon;

/// The limits of the inbox of [`bounds`].
pub const TIGHT: InboxLimits = InboxLimits {
    messages_max: 3,
    bytes_max: 100,
    age_max_ms: 60_000,
    project_messages_max: 5,
    project_bytes_max: 250,
};

/// The limits of the inbox of [`age`].
pub const BRIEF: InboxLimits = InboxLimits {
    messages_max: 10,
    bytes_max: 1000,
    age_max_ms: 400,
    project_messages_max: 2,
    project_bytes_max: 1000,
};

const EVERYTHING: usize = 10_000;

/// The part of an inbox in one project.
struct ProjectInbox<'a> {
    inbox: &'a Arc<dyn Inbox>,
    project: ProjectId,
}

impl ProjectInbox<'_> {
    async fn put(&self, users: &[&str], event: &str) -> Stored {
        self.put_data(users, event, 2).await
    }

    /// Stores an event with this many bytes of data.
    async fn put_data(&self, users: &[&str], event: &str, bytes: usize) -> Stored {
        let users: Vec<UserId> = users.iter().map(|user| name(user)).collect();
        self.inbox.put(&self.project, &users, &message(event, bytes)).await.expect("the message is stored")
    }

    async fn open_some(
        &self,
        user: &str,
        socket: SocketId,
        after: Option<MessageNumber>,
        most: usize,
    ) -> Vec<StoredMessage> {
        self.inbox
            .open(&self.project, &name(user), socket, after, most)
            .await
            .expect("the inbox replies")
            .messages
    }

    /// The names of the stored events; none if another socket holds the inbox.
    async fn open(&self, user: &str, socket: SocketId) -> Vec<Name> {
        names(self.open_some(user, socket, None, EVERYTHING).await)
    }

    /// The names of the stored events; the socket then releases the inbox.
    async fn look(&self, user: &str, socket: SocketId) -> Vec<Name> {
        let messages = self.open(user, socket).await;
        self.inbox.release(&self.project, &name(user), socket);
        messages
    }

    async fn acknowledge(&self, user: &str, numbers: &[MessageNumber]) {
        self.inbox.acknowledge(&self.project, &name(user), numbers.into());
        self.inbox.settled().await;
    }

    async fn clear(&self, user: &str) {
        self.inbox.clear(&self.project, &name(user)).await.expect("the inbox replies");
    }
}

fn names(messages: Vec<StoredMessage>) -> Vec<Name> {
    messages.into_iter().map(|message| message.event.name).collect()
}

fn message(event: &str, bytes: usize) -> Event {
    let data = Payload::parse(&format!("\"{}\"", "x".repeat(bytes - 2))).expect("a text is JSON");
    Event { name: name(event), data, sender: None, time_ms: 7 }
}

pub(super) fn begin(node: &Node, inbox: &Arc<dyn Inbox>) {
    let receiver: Arc<dyn Receiver> = node.hub.clone();
    inbox.start(Arc::downgrade(&receiver));
}

pub(super) fn member_of(node: &Node, project: &str, user: &str) -> Member {
    let member = node.add(project);
    node.join(&member, &Target::user(user).expect("a short name"));
    member
}

/// Tests that messages are stored in order until acknowledged, for one socket at a time, and delivered live to
/// online users. The inbox belongs to the node's backplane and has the default limits.
pub async fn messages(node: &Node, inbox: &Arc<dyn Inbox>) {
    begin(node, inbox);
    let received = Arc::new(Mutex::new(Vec::new()));
    let recorded = received.clone();
    node.hub.listen(Box::new(move |event| {
        if let HubEvent::Publication(Publication {
            project,
            audience,
            content: Content::Stored { number, event },
        }) = event
        {
            let users: Vec<String> = audience.to.iter().map(Target::to_string).collect();
            let is_first = project == "first";
            recorded.lock().expect("no test panics here").push((is_first, number, event.name, users));
        }
    }));
    let first = ProjectInbox { inbox, project: name("first") };
    messages_are_stored_in_order(node, &first).await;
    one_socket_holds_an_inbox(node, &first).await;
    projects_are_isolated(node, &first).await;
    concurrent_puts_are_ordered(node, inbox).await;
    received.lock().expect("no test panics here").clear();
    live_delivery_is_ordered(node, &first, &received).await;
}

async fn messages_are_stored_in_order(node: &Node, inbox: &ProjectInbox<'_>) {
    let phone = member_of(node, "first", "7").session.id;
    let mut numbers = Vec::new();
    for event in ["a", "b", "c"] {
        let stored = inbox.put(&["7", "8", "7"], event).await;
        assert_eq!((stored.inboxes, stored.evicted), (2, 0), "once for each user");
        numbers.push(stored.number);
    }
    assert!(numbers.is_sorted_by(|a, b| a < b), "numbers increase: {numbers:?}");
    assert_eq!(inbox.put(&[], "nobody").await.inboxes, 0);

    let messages = inbox.open_some("7", phone, None, 2).await;
    assert_eq!(messages.iter().map(|message| message.number).collect::<Vec<_>>(), numbers[..2]);
    assert_eq!(messages[0].event.data.as_bytes(), b"\"\"");
    assert_eq!(messages[0].event.time_ms, 7);
    let after = inbox.open_some("7", phone, Some(numbers[1]), 2).await;
    assert_eq!(names(after), ["c"], "only later messages");

    inbox.acknowledge("7", &[numbers[1], MessageNumber(1)]).await;
    assert_eq!(inbox.open("7", phone).await, ["a", "c"], "an acknowledged message is removed");
    inbox.acknowledge("7", &[numbers[1], numbers[0], numbers[2]]).await;
    assert!(inbox.open("7", phone).await.is_empty());
    let other = member_of(node, "first", "8").session.id;
    assert_eq!(inbox.open("8", other).await, ["a", "b", "c"], "each user's inbox is its own");
    inbox.acknowledge("8", &[numbers[2], numbers[0]]).await;
    assert_eq!(inbox.open("8", other).await, ["b"], "the message between is still stored");
    inbox.clear("8").await;
    assert!(inbox.open("8", other).await.is_empty());
    inbox.clear("nobody").await;
}

async fn one_socket_holds_an_inbox(node: &Node, inbox: &ProjectInbox<'_>) {
    let (phone, tablet) = (member_of(node, "first", "9"), member_of(node, "first", "9"));
    let (one, other) = (phone.session.id, tablet.session.id);
    let stored = inbox.put(&["9"], "a").await;
    assert_eq!(inbox.open("9", one).await, ["a"]);
    assert_eq!(inbox.open("9", one).await, ["a"], "the holder may open it again");
    assert!(inbox.open("9", other).await.is_empty(), "another socket holds it");
    let opened =
        inbox.inbox.open(&inbox.project, &name("9"), other, None, 1).await.expect("the inbox replies");
    assert_eq!((opened.held_by, opened.oldest), (Some(one), Some(stored.number)));
    let second = inbox.put(&["9"], "b").await;
    assert!(inbox.open("9", other).await.is_empty());
    assert!(inbox.open_some("9", one, Some(second.number), 10).await.is_empty(), "it has read all");
    assert!(inbox.open("9", other).await.is_empty(), "delivered or not");
    inbox.acknowledge("9", &[stored.number]).await;
    let opened =
        inbox.inbox.open(&inbox.project, &name("9"), other, None, 1).await.expect("the inbox replies");
    assert_eq!((opened.held_by, opened.oldest), (Some(one), Some(second.number)), "the holder acknowledged");

    inbox.inbox.release(&inbox.project, &name("9"), other);
    assert!(inbox.open("9", other).await.is_empty(), "only the holder can release it");
    inbox.inbox.release(&inbox.project, &name("9"), one);
    inbox.inbox.settled().await;
    assert_eq!(inbox.open("9", other).await, ["b"], "it was released");

    node.hub.remove(&tablet.session);
    assert_eq!(inbox.open("9", one).await, ["b"], "the holder has disconnected");

    inbox.acknowledge("9", &[second.number]).await;
    inbox.put(&["9"], "c").await;
    let laptop = member_of(node, "first", "9");
    assert_eq!(inbox.open("9", laptop.session.id).await, ["c"], "the inbox was empty");
    inbox.clear("9").await;
    inbox.put(&["9"], "d").await;
    assert_eq!(inbox.open("9", one).await, ["d"], "clearing ends the hold");
    inbox.clear("9").await;
}

async fn projects_are_isolated(node: &Node, inbox: &ProjectInbox<'_>) {
    let second = ProjectInbox { inbox: inbox.inbox, project: name("second") };
    inbox.put(&["10"], "ours").await;
    second.put(&["10"], "theirs").await;
    let (ours, theirs) = (member_of(node, "first", "10"), member_of(node, "second", "10"));
    assert_eq!(inbox.open("10", ours.session.id).await, ["ours"]);
    assert_eq!(second.open("10", theirs.session.id).await, ["theirs"]);
    inbox.clear("10").await;
    assert_eq!(second.open("10", theirs.session.id).await, ["theirs"]);
    second.clear("10").await;
}

async fn concurrent_puts_are_ordered(node: &Node, inbox: &Arc<dyn Inbox>) {
    const TASKS: usize = 16;
    const EACH: usize = 25;
    let mut putting = JoinSet::new();
    for task in 0..TASKS {
        let inbox = inbox.clone();
        putting.spawn(async move {
            let inbox = ProjectInbox { inbox: &inbox, project: name("many") };
            let mut numbers = Vec::new();
            for n in 0..EACH {
                numbers.push(inbox.put(&["one", "two"], &format!("{task}-{n}")).await.number);
            }
            assert!(numbers.is_sorted_by(|a, b| a < b), "numbers increase");
            numbers
        });
    }
    let numbers: Vec<MessageNumber> =
        soon("all are stored", putting.join_all()).await.into_iter().flatten().collect();
    let all: BTreeSet<MessageNumber> = numbers.iter().copied().collect();
    assert_eq!(all.len(), TASKS * EACH, "numbers are unique");

    let inbox = ProjectInbox { inbox, project: name("many") };
    for user in ["one", "two"] {
        let socket = member_of(node, "many", user).session.id;
        let mut messages: Vec<MessageNumber> = Vec::new();
        loop {
            let more = inbox.open_some(user, socket, messages.last().copied(), 64).await;
            if more.is_empty() {
                break;
            }
            messages.extend(more.iter().map(|message| message.number));
        }
        assert!(messages.iter().copied().eq(all.iter().copied()), "all messages, in order");
        inbox.acknowledge(user, &messages).await;
        assert!(inbox.open(user, socket).await.is_empty());
    }
}

type Received = Mutex<Vec<(bool, MessageNumber, Name, Vec<String>)>>;

async fn live_delivery_is_ordered(node: &Node, inbox: &ProjectInbox<'_>, received: &Received) {
    const COUNT: usize = 50;
    let (seven, _other) = (member_of(node, "first", "live"), member_of(node, "first", "too"));
    // Opened by its socket, so that the inbox knows that the user is online.
    inbox.look("live", seven.session.id).await;
    for n in 0..COUNT {
        inbox.put(&["live", "too", "away"], &format!("e{n}")).await;
    }
    soon("all are delivered", async {
        while received.lock().expect("no test panics here").len() < COUNT {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    })
    .await;
    let received = received.lock().expect("no test panics here");
    assert!(received.is_sorted_by(|a, b| a.1 < b.1), "in the order of their numbers");
    for (n, (is_first, _, event, users)) in received.iter().enumerate() {
        assert!(*is_first && **event == *format!("e{n}"), "each once: {event}");
        for user in ["user live", "user too"] {
            assert!(users.iter().any(|known| known == user), "{user} is among {users:?}");
        }
    }
}

/// Tests the bounds of an inbox with the limits [`TIGHT`].
pub async fn bounds(node: &Node, inbox: &Arc<dyn Inbox>) {
    begin(node, inbox);
    let inbox = ProjectInbox { inbox, project: name("tight") };
    let socket = node.add("tight").session.id;
    let mut evicted = 0;
    for event in ["a1", "a2", "a3", "a4", "a5"] {
        evicted += inbox.put(&["a"], event).await.evicted;
    }
    assert_eq!(evicted, 2);
    assert_eq!(inbox.look("a", socket).await, ["a3", "a4", "a5"], "the latest of a user");

    inbox.put_data(&["b"], "b1", 58).await;
    let stored = inbox.put_data(&["b"], "b2", 58).await;
    assert_eq!((stored.inboxes, stored.evicted), (1, 1));
    let stored = inbox.put_data(&["b"], "b3", 99).await;
    assert_eq!((stored.inboxes, stored.evicted), (0, 0), "a message that is too large alone evicts none");
    assert_eq!(inbox.look("b", socket).await, ["b2"], "the bound on bytes of a user");

    assert_eq!(inbox.put(&["c"], "c1").await.inboxes, 1);
    assert_eq!(inbox.put(&["d"], "d1").await.inboxes, 0, "the project is full");
    let stored = inbox.put(&["d", "a"], "a6").await;
    assert_eq!((stored.inboxes, stored.evicted), (1, 1), "the user's own oldest message is evicted");
    assert!(inbox.look("d", socket).await.is_empty());
    inbox.acknowledge("a", &[stored.number]).await;
    assert_eq!(inbox.put(&["d"], "d2").await.inboxes, 1, "there is room again");

    for user in ["a", "b", "c", "d"] {
        inbox.clear(user).await;
    }
    for (user, inboxes) in [("e", 1), ("f", 1), ("g", 0)] {
        assert_eq!(inbox.put_data(&[user], "90", 88).await.inboxes, inboxes, "{user}");
    }
    inbox.clear("e").await;
    assert_eq!(inbox.put_data(&["g"], "90", 88).await.inboxes, 1, "there are bytes again");
}

/// Tests the expiry of messages in an inbox with the limits [`BRIEF`].
pub async fn age(node: &Node, inbox: &Arc<dyn Inbox>) {
    begin(node, inbox);
    let idle = ProjectInbox { inbox, project: name("idle") };
    let socket = node.add("idle").session.id;
    idle.put(&["a"], "old").await;
    assert_eq!(idle.look("a", socket).await, ["old"]);
    soon("it expires without further calls", async {
        while !idle.look("a", socket).await.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;

    let inbox = ProjectInbox { inbox, project: name("brief") };
    let (phone, tablet) = (member_of(node, "brief", "b"), member_of(node, "brief", "b"));
    inbox.put(&["a", "b"], "old").await;
    assert_eq!(inbox.open("b", phone.session.id).await, ["old"]);
    assert_eq!(inbox.put(&["c"], "c").await.inboxes, 0, "the project is full");
    soon("messages that nobody reads expire and make room", async {
        while inbox.put(&["c"], "c").await.inboxes == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    assert!(inbox.look("a", node.add("brief").session.id).await.is_empty());
    soon("an expired inbox is no longer held", async {
        // Repeated, because the new message may expire as well.
        while inbox.open("b", tablet.session.id).await.is_empty() {
            inbox.put(&["b"], "new").await;
        }
    })
    .await;
}
