//! What every `Inbox` has to do.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use switchboard_backplane::{Content, Inbox, InboxLimits, Publication, Receiver, Stored, StoredMessage};
use switchboard_event::{Event, MessageNumber, Name, Payload, ProjectId, SocketId, Target, UserId};
use switchboard_hub::HubEvent;
use tokio::task::JoinSet;

use super::{Member, Node, name};
use crate::soon;

/// What the inbox of [`bounds`] has to be made with.
pub const TIGHT: InboxLimits = InboxLimits {
    messages_max: 3,
    bytes_max: 100,
    age_max_ms: 60_000,
    project_messages_max: 5,
    project_bytes_max: 250,
};

/// What the inbox of [`age`] has to be made with.
pub const BRIEF: InboxLimits = InboxLimits {
    messages_max: 10,
    bytes_max: 1000,
    age_max_ms: 400,
    project_messages_max: 2,
    project_bytes_max: 1000,
};

const EVERYTHING: usize = 10_000;

/// A project on an inbox.
struct Place<'a> {
    inbox: &'a Arc<dyn Inbox>,
    project: ProjectId,
}

impl Place<'_> {
    async fn put(&self, users: &[&str], event: &str) -> Stored {
        self.put_data(users, event, 2).await
    }

    /// Puts an event whose data has so many bytes.
    async fn put_data(&self, users: &[&str], event: &str, bytes: usize) -> Stored {
        let users: Vec<UserId> = users.iter().map(|user| name(user)).collect();
        self.inbox.put(&self.project, &users, &message(event, bytes)).await.expect("it is kept")
    }

    async fn open_some(
        &self,
        user: &str,
        socket: SocketId,
        after: Option<MessageNumber>,
        most: usize,
    ) -> Vec<StoredMessage> {
        self.inbox.open(&self.project, &name(user), socket, after, most).await.expect("it answers").messages
    }

    /// The names of what waits; nothing if another socket has the inbox.
    async fn open(&self, user: &str, socket: SocketId) -> Vec<Name> {
        names(self.open_some(user, socket, None, EVERYTHING).await)
    }

    /// What waits, seen by a socket that gives the inbox back.
    async fn look(&self, user: &str, socket: SocketId) -> Vec<Name> {
        let waiting = self.open(user, socket).await;
        self.inbox.release(&self.project, &name(user), socket);
        waiting
    }

    async fn acknowledge(&self, user: &str, numbers: &[MessageNumber]) {
        self.inbox.acknowledge(&self.project, &name(user), numbers.into());
        self.inbox.settled().await;
    }

    async fn clear(&self, user: &str) {
        self.inbox.clear(&self.project, &name(user)).await.expect("it answers");
    }
}

fn names(waiting: Vec<StoredMessage>) -> Vec<Name> {
    waiting.into_iter().map(|message| message.event.name).collect()
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

/// Shows that messages wait in their order until they are confirmed, for one socket at a time, and are
/// heard at once by who is there. The inbox is that of the node's backplane, with limits as by default.
pub async fn messages(node: &Node, inbox: &Arc<dyn Inbox>) {
    begin(node, inbox);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let noted = heard.clone();
    node.hub.listen(Box::new(move |notice| {
        if let HubEvent::Publication(Publication {
            project,
            audience,
            content: Content::Stored { number, event },
        }) = notice
        {
            let users: Vec<String> = audience.to.iter().map(Target::to_string).collect();
            let is_first = project == "first";
            noted.lock().expect("no test panics here").push((is_first, number, event.name, users));
        }
    }));
    let place = Place { inbox, project: name("first") };
    waiting_in_order(node, &place).await;
    one_socket_at_a_time(node, &place).await;
    nothing_crosses(node, &place).await;
    many_at_once(node, inbox).await;
    heard.lock().expect("no test panics here").clear();
    live_in_order(node, &place, &heard).await;
}

async fn waiting_in_order(node: &Node, place: &Place<'_>) {
    let phone = member_of(node, "first", "7").session.id;
    let mut numbers = Vec::new();
    for event in ["a", "b", "c"] {
        let kept = place.put(&["7", "8", "7"], event).await;
        assert_eq!((kept.inboxes, kept.evicted), (2, 0), "once for each user");
        numbers.push(kept.number);
    }
    assert!(numbers.is_sorted_by(|a, b| a < b), "numbers rise: {numbers:?}");
    assert_eq!(place.put(&[], "nobody").await.inboxes, 0);

    let waiting = place.open_some("7", phone, None, 2).await;
    assert_eq!(waiting.iter().map(|message| message.number).collect::<Vec<_>>(), numbers[..2]);
    assert_eq!(waiting[0].event.data.as_bytes(), b"\"\"");
    assert_eq!(waiting[0].event.time_ms, 7);
    let after = place.open_some("7", phone, Some(numbers[1]), 2).await;
    assert_eq!(names(after), ["c"], "only what comes after");

    place.acknowledge("7", &[numbers[1], MessageNumber(1)]).await;
    assert_eq!(place.open("7", phone).await, ["a", "c"], "what was confirmed waits no more");
    place.acknowledge("7", &[numbers[1], numbers[0], numbers[2]]).await;
    assert!(place.open("7", phone).await.is_empty());
    let other = member_of(node, "first", "8").session.id;
    assert_eq!(place.open("8", other).await, ["a", "b", "c"], "each user's inbox is its own");
    place.acknowledge("8", &[numbers[2], numbers[0]]).await;
    assert_eq!(place.open("8", other).await, ["b"], "what is between waits on");
    place.clear("8").await;
    assert!(place.open("8", other).await.is_empty());
    place.clear("nobody").await;
}

async fn one_socket_at_a_time(node: &Node, place: &Place<'_>) {
    let (phone, tablet) = (member_of(node, "first", "9"), member_of(node, "first", "9"));
    let (one, other) = (phone.session.id, tablet.session.id);
    let kept = place.put(&["9"], "a").await;
    assert_eq!(place.open("9", one).await, ["a"]);
    assert_eq!(place.open("9", one).await, ["a"], "who has it may look again");
    assert!(place.open("9", other).await.is_empty(), "another socket has it");
    let opened = place.inbox.open(&place.project, &name("9"), other, None, 1).await.expect("it answers");
    assert_eq!((opened.held_by, opened.oldest), (Some(one), Some(kept.number)));
    let second = place.put(&["9"], "b").await;
    assert!(place.open("9", other).await.is_empty());
    assert!(place.open_some("9", one, Some(second.number), 10).await.is_empty(), "it has read all");
    assert!(place.open("9", other).await.is_empty(), "which arrived or did not");
    place.acknowledge("9", &[kept.number]).await;
    let opened = place.inbox.open(&place.project, &name("9"), other, None, 1).await.expect("it answers");
    assert_eq!((opened.held_by, opened.oldest), (Some(one), Some(second.number)), "who has it answers");

    place.inbox.release(&place.project, &name("9"), other);
    assert!(place.open("9", other).await.is_empty(), "nobody gives back what is another's");
    place.inbox.release(&place.project, &name("9"), one);
    place.inbox.settled().await;
    assert_eq!(place.open("9", other).await, ["b"], "it was given back");

    node.hub.remove(&tablet.session);
    assert_eq!(place.open("9", one).await, ["b"], "who had it is gone");

    place.acknowledge("9", &[second.number]).await;
    place.put(&["9"], "c").await;
    let laptop = member_of(node, "first", "9");
    assert_eq!(place.open("9", laptop.session.id).await, ["c"], "nothing waited any more");
    place.clear("9").await;
    place.put(&["9"], "d").await;
    assert_eq!(place.open("9", one).await, ["d"], "who had it has nothing after all was dropped");
    place.clear("9").await;
}

async fn nothing_crosses(node: &Node, place: &Place<'_>) {
    let second = Place { inbox: place.inbox, project: name("second") };
    place.put(&["10"], "ours").await;
    second.put(&["10"], "theirs").await;
    let (ours, theirs) = (member_of(node, "first", "10"), member_of(node, "second", "10"));
    assert_eq!(place.open("10", ours.session.id).await, ["ours"]);
    assert_eq!(second.open("10", theirs.session.id).await, ["theirs"]);
    place.clear("10").await;
    assert_eq!(second.open("10", theirs.session.id).await, ["theirs"]);
    second.clear("10").await;
}

async fn many_at_once(node: &Node, inbox: &Arc<dyn Inbox>) {
    const TASKS: usize = 16;
    const EACH: usize = 25;
    let mut putting = JoinSet::new();
    for task in 0..TASKS {
        let inbox = inbox.clone();
        putting.spawn(async move {
            let place = Place { inbox: &inbox, project: name("many") };
            let mut numbers = Vec::new();
            for n in 0..EACH {
                numbers.push(place.put(&["one", "two"], &format!("{task}-{n}")).await.number);
            }
            assert!(numbers.is_sorted_by(|a, b| a < b), "numbers rise");
            numbers
        });
    }
    let numbers: Vec<MessageNumber> =
        soon("all are kept", putting.join_all()).await.into_iter().flatten().collect();
    let all: BTreeSet<MessageNumber> = numbers.iter().copied().collect();
    assert_eq!(all.len(), TASKS * EACH, "no number is given twice");

    let place = Place { inbox, project: name("many") };
    for user in ["one", "two"] {
        let socket = member_of(node, "many", user).session.id;
        let mut waiting: Vec<MessageNumber> = Vec::new();
        loop {
            let more = place.open_some(user, socket, waiting.last().copied(), 64).await;
            if more.is_empty() {
                break;
            }
            waiting.extend(more.iter().map(|message| message.number));
        }
        assert!(waiting.iter().copied().eq(all.iter().copied()), "nothing is lost, and all in order");
        place.acknowledge(user, &waiting).await;
        assert!(place.open(user, socket).await.is_empty());
    }
}

type Heard = Mutex<Vec<(bool, MessageNumber, Name, Vec<String>)>>;

async fn live_in_order(node: &Node, place: &Place<'_>, heard: &Heard) {
    const COUNT: usize = 50;
    let (seven, _other) = (member_of(node, "first", "live"), member_of(node, "first", "too"));
    // RequestKey for by its socket, so that it is known to be here.
    place.look("live", seven.session.id).await;
    for n in 0..COUNT {
        place.put(&["live", "too", "away"], &format!("e{n}")).await;
    }
    soon("all are heard", async {
        while heard.lock().expect("no test panics here").len() < COUNT {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    })
    .await;
    let heard = heard.lock().expect("no test panics here");
    assert!(heard.is_sorted_by(|a, b| a.1 < b.1), "in the order of their numbers");
    for (n, (is_first, _, event, users)) in heard.iter().enumerate() {
        assert!(*is_first && **event == *format!("e{n}"), "each once: {event}");
        for user in ["user live", "user too"] {
            assert!(users.iter().any(|known| known == user), "{user} is among {users:?}");
        }
    }
}

/// Shows what happens at the bounds of an inbox that is made with [`TIGHT`].
pub async fn bounds(node: &Node, inbox: &Arc<dyn Inbox>) {
    begin(node, inbox);
    let place = Place { inbox, project: name("tight") };
    let socket = node.add("tight").session.id;
    let mut evicted = 0;
    for event in ["a1", "a2", "a3", "a4", "a5"] {
        evicted += place.put(&["a"], event).await.evicted;
    }
    assert_eq!(evicted, 2);
    assert_eq!(place.look("a", socket).await, ["a3", "a4", "a5"], "the latest of a user");

    place.put_data(&["b"], "b1", 58).await;
    let kept = place.put_data(&["b"], "b2", 58).await;
    assert_eq!((kept.inboxes, kept.evicted), (1, 1));
    let kept = place.put_data(&["b"], "b3", 99).await;
    assert_eq!((kept.inboxes, kept.evicted), (0, 0), "a message that is too large alone displaces none");
    assert_eq!(place.look("b", socket).await, ["b2"], "as many bytes as may wait for a user");

    assert_eq!(place.put(&["c"], "c1").await.inboxes, 1);
    assert_eq!(place.put(&["d"], "d1").await.inboxes, 0, "the project is full");
    let kept = place.put(&["d", "a"], "a6").await;
    assert_eq!((kept.inboxes, kept.evicted), (1, 1), "a user's own oldest make room");
    assert!(place.look("d", socket).await.is_empty());
    place.acknowledge("a", &[kept.number]).await;
    assert_eq!(place.put(&["d"], "d2").await.inboxes, 1, "there is room again");

    for user in ["a", "b", "c", "d"] {
        place.clear(user).await;
    }
    for (user, inboxes) in [("e", 1), ("f", 1), ("g", 0)] {
        assert_eq!(place.put_data(&[user], "90", 88).await.inboxes, inboxes, "{user}");
    }
    place.clear("e").await;
    assert_eq!(place.put_data(&["g"], "90", 88).await.inboxes, 1, "there are bytes again");
}

/// Shows that nothing waits for too long in an inbox that is made with [`BRIEF`].
pub async fn age(node: &Node, inbox: &Arc<dyn Inbox>) {
    begin(node, inbox);
    let idle = Place { inbox, project: name("idle") };
    let socket = node.add("idle").session.id;
    idle.put(&["a"], "old").await;
    assert_eq!(idle.look("a", socket).await, ["old"]);
    soon("it waits no more, though nothing else is done", async {
        while !idle.look("a", socket).await.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;

    let place = Place { inbox, project: name("brief") };
    let (phone, tablet) = (member_of(node, "brief", "b"), member_of(node, "brief", "b"));
    place.put(&["a", "b"], "old").await;
    assert_eq!(place.open("b", phone.session.id).await, ["old"]);
    assert_eq!(place.put(&["c"], "c").await.inboxes, 0, "the project is full");
    soon("what nobody asked for makes room", async {
        while place.put(&["c"], "c").await.inboxes == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    assert!(place.look("a", node.add("brief").session.id).await.is_empty());
    soon("who had the inbox has nothing", async {
        // Again, since it may wait no longer itself.
        while place.open("b", tablet.session.id).await.is_empty() {
            place.put(&["b"], "new").await;
        }
    })
    .await;
}
