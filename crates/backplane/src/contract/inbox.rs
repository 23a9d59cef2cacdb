//! The contract tests of [`Inbox`].

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use switchboard_event::{Event, MessageNumber, Name, Payload, ProjectId, SocketId, Target, UserId};
use tokio::task::JoinSet;

use super::support::{name, soon, until};
use super::{TestNode, TestSocket};
use crate::{Content, Inbox, InboxLimits, InboxPage, Publication, Stored, StoredMessage};

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

/// A limit above the number of messages in any inbox of these tests.
const ALL: usize = 10_000;

/// The inboxes of one project.
struct ProjectInbox<'a> {
    inbox: &'a Arc<dyn Inbox>,
    project: ProjectId,
}

impl<'a> ProjectInbox<'a> {
    fn new(inbox: &'a Arc<dyn Inbox>, project: &str) -> Self {
        ProjectInbox { inbox, project: name(project) }
    }

    async fn put(&self, users: &[&str], event: &str) -> Stored {
        self.put_data(users, event, 2).await
    }

    /// Stores an event with this many bytes of data.
    async fn put_data(&self, users: &[&str], event: &str, bytes: usize) -> Stored {
        let users: Vec<UserId> = users.iter().map(|user| name(user)).collect();
        self.inbox.put(&self.project, &users, &message(event, bytes)).await.expect("the message is stored")
    }

    async fn open_page(
        &self,
        user: &str,
        socket: SocketId,
        after: Option<MessageNumber>,
        limit: usize,
    ) -> InboxPage {
        let page = self.inbox.open(&self.project, &name(user), socket, after, limit).await;
        page.expect("the inbox replies")
    }

    /// The names of the stored events; none if another socket holds the inbox.
    async fn open(&self, user: &str, socket: SocketId) -> Vec<Name> {
        names(self.open_page(user, socket, None, ALL).await.messages)
    }

    /// The names of the stored events; the socket then releases the inbox.
    async fn open_and_release(&self, user: &str, socket: SocketId) -> Vec<Name> {
        let messages = self.open(user, socket).await;
        self.release(user, socket);
        messages
    }

    /// The other socket that holds the inbox, and the number of the oldest message.
    async fn holder(&self, user: &str, socket: SocketId) -> (Option<SocketId>, Option<MessageNumber>) {
        let page = self.open_page(user, socket, None, 1).await;
        (page.held_by, page.oldest)
    }

    fn release(&self, user: &str, socket: SocketId) {
        self.inbox.release(&self.project, &name(user), socket);
    }

    async fn acknowledge(&self, user: &str, numbers: &[MessageNumber]) {
        self.inbox.acknowledge(&self.project, &name(user), numbers.into());
        self.settled().await;
    }

    async fn settled(&self) {
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
    Event { name: name(event), data, sender: None, time_ms: 7, trace: None }
}

/// Connects a socket of a user.
pub(super) fn connect_user<N: TestNode>(node: &N, project: &str, user: &str) -> N::Socket {
    let socket = node.connect(&name(project));
    node.join(&socket, &Target::user(user).expect("a short name"));
    socket
}

/// Tests that messages are stored in order until acknowledged, for one socket at a time, and delivered live to
/// online users. The inbox belongs to the node's backplane and has the default limits.
pub async fn messages<N: TestNode>(node: &N, inbox: &Arc<dyn Inbox>) {
    inbox.start(node.receiver());
    let received = Arc::new(Received::default());
    let recorder = received.clone();
    node.listen(Box::new(move |publication| recorder.record(publication)));
    let first = ProjectInbox::new(inbox, "first");
    messages_are_stored_in_order(node, &first).await;
    one_socket_holds_an_inbox(node, &first).await;
    a_peek_neither_holds_nor_changes_an_inbox(node, &first).await;
    projects_are_isolated(node, &first).await;
    concurrent_puts_are_ordered(node, inbox).await;
    received.0.lock().expect("no test panics here").clear();
    live_delivery_is_ordered(node, &first, &received).await;
}

async fn messages_are_stored_in_order<N: TestNode>(node: &N, inbox: &ProjectInbox<'_>) {
    let phone = connect_user(node, "first", "7").id();
    let mut numbers = Vec::new();
    for event in ["a", "b", "c"] {
        let stored = inbox.put(&["7", "8", "7"], event).await;
        assert_eq!((stored.inboxes, stored.evicted), (2, 0), "once for each user");
        numbers.push(stored.number);
    }
    assert!(numbers.is_sorted_by(|a, b| a < b), "numbers increase: {numbers:?}");
    assert_eq!(inbox.put(&[], "nobody").await.inboxes, 0);

    let messages = inbox.open_page("7", phone, None, 2).await.messages;
    assert_eq!(messages.iter().map(|message| message.number).collect::<Vec<_>>(), numbers[..2]);
    assert_eq!(messages[0].event.data.as_bytes(), b"\"\"");
    assert_eq!(messages[0].event.time_ms, 7);
    let after = inbox.open_page("7", phone, Some(numbers[1]), 2).await.messages;
    assert_eq!(names(after), ["c"], "only later messages");

    inbox.acknowledge("7", &[numbers[1], MessageNumber(1)]).await;
    assert_eq!(inbox.open("7", phone).await, ["a", "c"], "an acknowledged message is removed");
    inbox.acknowledge("7", &[numbers[1], numbers[0], numbers[2]]).await;
    assert!(inbox.open("7", phone).await.is_empty());
    let other = connect_user(node, "first", "8").id();
    assert_eq!(inbox.open("8", other).await, ["a", "b", "c"], "each user's inbox is its own");
    inbox.acknowledge("8", &[numbers[2], numbers[0]]).await;
    assert_eq!(inbox.open("8", other).await, ["b"], "the message between is still stored");
    inbox.clear("8").await;
    assert!(inbox.open("8", other).await.is_empty());
    inbox.clear("nobody").await;
}

async fn one_socket_holds_an_inbox<N: TestNode>(node: &N, inbox: &ProjectInbox<'_>) {
    let (phone, tablet) = (connect_user(node, "first", "9"), connect_user(node, "first", "9"));
    let (one, other) = (phone.id(), tablet.id());
    let stored = inbox.put(&["9"], "a").await;
    assert_eq!(inbox.open("9", one).await, ["a"]);
    assert_eq!(inbox.open("9", one).await, ["a"], "the holder may open it again");
    assert!(inbox.open("9", other).await.is_empty(), "another socket holds it");
    assert_eq!(inbox.holder("9", other).await, (Some(one), Some(stored.number)));
    let second = inbox.put(&["9"], "b").await;
    assert!(inbox.open("9", other).await.is_empty());
    assert!(
        inbox.open_page("9", one, Some(second.number), 10).await.messages.is_empty(),
        "no message follows"
    );
    assert!(inbox.open("9", other).await.is_empty(), "even if it has read all messages");
    inbox.acknowledge("9", &[stored.number]).await;
    let holder = inbox.holder("9", other).await;
    assert_eq!(holder, (Some(one), Some(second.number)), "the oldest changes when the holder acknowledges");

    inbox.release("9", other);
    assert!(inbox.open("9", other).await.is_empty(), "only the holder can release it");
    inbox.release("9", one);
    inbox.settled().await;
    assert_eq!(inbox.open("9", other).await, ["b"], "the holder released it");

    node.disconnect(&tablet);
    assert_eq!(inbox.open("9", one).await, ["b"], "the holder has disconnected");

    inbox.acknowledge("9", &[second.number]).await;
    inbox.put(&["9"], "c").await;
    let laptop = connect_user(node, "first", "9");
    assert_eq!(inbox.open("9", laptop.id()).await, ["c"], "the inbox was empty");
    inbox.clear("9").await;
    inbox.put(&["9"], "d").await;
    assert_eq!(inbox.open("9", one).await, ["d"], "clearing ends the hold");
    inbox.clear("9").await;
}

async fn a_peek_neither_holds_nor_changes_an_inbox<N: TestNode>(node: &N, inbox: &ProjectInbox<'_>) {
    let socket = connect_user(node, "first", "10").id();
    let mut numbers = Vec::new();
    for n in 0..600 {
        numbers.push(inbox.put(&["10"], &format!("{n}")).await.number);
    }
    let peek = async |after: Option<MessageNumber>, limit| {
        let peeked = inbox.inbox.peek(&inbox.project, &name("10"), after, limit).await;
        peeked.expect("the inbox replies").into_iter().map(|message| message.number).collect::<Vec<_>>()
    };
    assert_eq!(peek(None, 2).await, numbers[..2]);
    assert_eq!(peek(Some(numbers[1]), 3).await, numbers[2..5]);
    assert_eq!(peek(Some(numbers[400]), ALL).await, numbers[401..]);
    assert_eq!((peek(Some(numbers[599]), 2).await, peek(None, 0).await), (vec![], vec![]));
    assert_eq!(inbox.holder("10", socket).await, (None, None), "nobody holds the inbox");
    inbox.acknowledge("10", &numbers[..1]).await;
    assert_eq!(peek(None, 1).await, numbers[1..2]);
    inbox.clear("10").await;
    assert!(peek(None, ALL).await.is_empty());
}

async fn projects_are_isolated<N: TestNode>(node: &N, inbox: &ProjectInbox<'_>) {
    let second = ProjectInbox::new(inbox.inbox, "second");
    inbox.put(&["10"], "in the first").await;
    second.put(&["10"], "in the second").await;
    let here = connect_user(node, "first", "10").id();
    let there = connect_user(node, "second", "10").id();
    assert_eq!(inbox.open("10", here).await, ["in the first"]);
    assert_eq!(second.open("10", there).await, ["in the second"]);
    inbox.clear("10").await;
    assert_eq!(second.open("10", there).await, ["in the second"]);
    second.clear("10").await;
}

async fn concurrent_puts_are_ordered<N: TestNode>(node: &N, inbox: &Arc<dyn Inbox>) {
    const TASKS: usize = 16;
    const EACH: usize = 25;
    let mut putting = JoinSet::new();
    for task in 0..TASKS {
        let inbox = inbox.clone();
        putting.spawn(async move {
            let inbox = ProjectInbox::new(&inbox, "many");
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

    let inbox = ProjectInbox::new(inbox, "many");
    for user in ["one", "two"] {
        let socket = connect_user(node, "many", user).id();
        let mut messages: Vec<MessageNumber> = Vec::new();
        loop {
            let more = inbox.open_page(user, socket, messages.last().copied(), 64).await.messages;
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

/// The stored messages that the node received.
#[derive(Default)]
struct Received(Mutex<Vec<Delivery>>);

struct Delivery {
    project: ProjectId,
    number: MessageNumber,
    event: Name,
    users: Vec<String>,
}

impl Received {
    fn record(&self, publication: Publication) {
        let Publication { project, audience, content } = publication;
        if let Content::Stored { number, event } = content {
            let users = audience.to.iter().map(Target::to_string).collect();
            let delivery = Delivery { project, number, event: event.name, users };
            self.0.lock().expect("no test panics here").push(delivery);
        }
    }
}

async fn live_delivery_is_ordered<N: TestNode>(node: &N, inbox: &ProjectInbox<'_>, received: &Received) {
    const COUNT: usize = 50;
    let (socket, _other) = (connect_user(node, "first", "live"), connect_user(node, "first", "live-2"));
    // Opening the inbox records that the user is online.
    inbox.open_and_release("live", socket.id()).await;
    for n in 0..COUNT {
        inbox.put(&["live", "live-2", "away"], &format!("e{n}")).await;
    }
    let received = &received.0;
    until("all are delivered", async || received.lock().expect("no test panics here").len() >= COUNT).await;
    let received = received.lock().expect("no test panics here");
    assert!(received.is_sorted_by(|a, b| a.number < b.number), "in the order of their numbers");
    for (n, Delivery { project, event, users, .. }) in received.iter().enumerate() {
        assert!(project == "first" && **event == *format!("e{n}"), "each once: {event}");
        for user in ["user live", "user live-2"] {
            assert!(users.iter().any(|known| known == user), "{user} is among {users:?}");
        }
    }
}

/// Tests the bounds of an inbox with the limits [`TIGHT`].
pub async fn bounds<N: TestNode>(node: &N, inbox: &Arc<dyn Inbox>) {
    inbox.start(node.receiver());
    let inbox = ProjectInbox::new(inbox, "tight");
    let socket = node.connect(&name("tight")).id();
    let mut evicted = 0;
    for event in ["a1", "a2", "a3", "a4", "a5"] {
        evicted += inbox.put(&["a"], event).await.evicted;
    }
    assert_eq!(evicted, 2);
    assert_eq!(inbox.open_and_release("a", socket).await, ["a3", "a4", "a5"], "the latest of a user");

    inbox.put_data(&["b"], "b1", 58).await;
    let stored = inbox.put_data(&["b"], "b2", 58).await;
    assert_eq!((stored.inboxes, stored.evicted), (1, 1));
    let stored = inbox.put_data(&["b"], "b3", 99).await;
    assert_eq!((stored.inboxes, stored.evicted), (0, 0), "a message that is too large alone evicts none");
    assert_eq!(inbox.open_and_release("b", socket).await, ["b2"], "the bound on bytes of a user");

    assert_eq!(inbox.put(&["c"], "c1").await.inboxes, 1);
    assert_eq!(inbox.put(&["d"], "d1").await.inboxes, 0, "the project is full");
    let stored = inbox.put(&["d", "a"], "a6").await;
    assert_eq!((stored.inboxes, stored.evicted), (1, 1), "the user's own oldest message is evicted");
    assert!(inbox.open_and_release("d", socket).await.is_empty());
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
pub async fn age<N: TestNode>(node: &N, inbox: &Arc<dyn Inbox>) {
    inbox.start(node.receiver());
    let idle = ProjectInbox::new(inbox, "idle");
    let socket = node.connect(&name("idle")).id();
    idle.put(&["a"], "old").await;
    assert_eq!(idle.open_and_release("a", socket).await, ["old"]);
    until("it expires without another put", async || idle.open_and_release("a", socket).await.is_empty())
        .await;

    let inbox = ProjectInbox::new(inbox, "brief");
    let (phone, tablet) = (connect_user(node, "brief", "b"), connect_user(node, "brief", "b"));
    inbox.put(&["a", "b"], "old").await;
    assert_eq!(inbox.open("b", phone.id()).await, ["old"]);
    assert_eq!(inbox.put(&["c"], "c").await.inboxes, 0, "the project is full");
    let is_stored = async || inbox.put(&["c"], "c").await.inboxes > 0;
    until("messages of other users expire and make room", is_stored).await;
    assert!(inbox.open_and_release("a", node.connect(&name("brief")).id()).await.is_empty());
    soon("an expired inbox is no longer held", async {
        // Repeated, because the new message may expire as well.
        while inbox.open("b", tablet.id()).await.is_empty() {
            inbox.put(&["b"], "new").await;
        }
    })
    .await;
}
