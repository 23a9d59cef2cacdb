//! A dry run in sentences.

use std::collections::BTreeMap;
use std::time::Duration;

use switchboard_backplane::HistoryLimits;
use switchboard_event::{NodeId, SocketId, Target};

use super::view::{NodeView, Planned, Prospect, SocketView, WAITING_MAX, missing_right};
use crate::node::words::{capitalized, counted, duration, list, ordinal};

/// Most owners of sockets that are described one by one; of others the numbers are given.
const OWNERS_MAX: usize = 10;

/// What only the asked node looks up.
pub(super) struct Around {
    pub(super) this: NodeId,
    /// Messages in the inbox of the user, at most [`WAITING_MAX`].
    pub(super) waiting: Option<usize>,
    pub(super) has_inbox: bool,
    /// The history of the room.
    pub(super) history: Option<HistoryLimits>,
    /// Sockets of the target in the store.
    pub(super) listed: Option<usize>,
    /// This node is disconnected from the other nodes.
    pub(super) is_disconnected: bool,
}

/// The owner of sockets: a user, or a socket without one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Owner<'a> {
    User(&'a str),
    Socket(SocketId),
}

/// Explains whether a message would arrive, and why not.
pub(super) fn sentences(
    nodes: &[NodeView],
    unanswered: &[NodeId],
    target: &Target,
    planned: &Planned,
    around: &Around,
) -> Vec<String> {
    let mut sentences: Vec<String> = about_sender(nodes, target, planned).into_iter().collect();
    let sockets: Vec<&SocketView> = nodes.iter().flat_map(|view| &view.sockets).collect();
    let mut owners: BTreeMap<Owner<'_>, Vec<Prospect>> = BTreeMap::new();
    for socket in &sockets {
        let user = socket.recipient.user.as_deref();
        let owner = user.map_or(Owner::Socket(socket.recipient.socket), Owner::User);
        owners.entry(owner).or_default().push(socket.prospect);
    }
    let words = |prospect: Prospect| words(prospect, target, around);
    sentences.extend(match owners.len() {
        0 => vec![about_nobody(target, planned)],
        1..=OWNERS_MAX => owners.iter().map(|(owner, of)| about_owner(owner, of, words)).collect(),
        _ => about_all(nodes, &sockets, words),
    });
    sentences.extend(about_stores(target, planned, around));
    sentences.extend(about_nodes(nodes, unanswered, around));
    sentences
}

fn about_sender(nodes: &[NodeView], target: &Target, planned: &Planned) -> Option<String> {
    let id = planned.sender?;
    match nodes.iter().find_map(|view| view.sender.as_ref()) {
        Some(sender) if sender.may_send => None,
        Some(_) => Some(format!("It would be refused: socket {id} has {}.", missing_right(target))),
        None => Some(format!("No node has the sender, socket {id}, so it could not send.")),
    }
}

fn about_nobody(target: &Target, planned: &Planned) -> String {
    match (&planned.user, target) {
        (Some(user), _) => format!("User {user} has no socket on any node."),
        (None, Target::User(user)) => format!("User {user} has no socket on any node."),
        (None, Target::Socket(id)) => format!("No node has socket {id}."),
        (None, Target::Everyone) => "The project has no socket on any node.".into(),
        (None, other) => format!("{other} has no socket on any node."),
    }
}

fn about_owner(owner: &Owner<'_>, prospects: &[Prospect], words: impl Fn(Prospect) -> String) -> String {
    match (owner, prospects) {
        (Owner::Socket(id), _) => {
            let states: Vec<String> = prospects.iter().map(|prospect| words(*prospect)).collect();
            format!("Socket {id} {}.", states.join(" and "))
        }
        (Owner::User(user), [one]) => format!("User {user} has one socket. It {}.", words(*one)),
        (Owner::User(user), many) => {
            let count = many.len();
            let each = many.iter().enumerate();
            let each: String = each
                .map(|(place, prospect)| format!(" {} {}.", ordinal(place, count), words(*prospect)))
                .collect();
            format!("User {user} has {}.{each}", counted(count, "socket", "sockets"))
        }
    }
}

fn about_all(nodes: &[NodeView], sockets: &[&SocketView], words: impl Fn(Prospect) -> String) -> Vec<String> {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for socket in sockets {
        *kinds.entry(words(socket.prospect)).or_default() += 1;
    }
    let socket = |count| capitalized(&counted(count, "socket", "sockets"));
    let mut sentences: Vec<String> =
        kinds.into_iter().map(|(words, count)| format!("{}: {words}.", socket(count))).collect();
    let total: usize = nodes.iter().map(|view| view.total).sum();
    if total > sockets.len() {
        sentences.push(format!("{} more are not described.", total - sockets.len()));
    }
    sentences
}

/// The rest of a sentence about a socket.
fn words(prospect: Prospect, target: &Target, around: &Around) -> String {
    match prospect {
        Prospect::Receives => "would receive it".into(),
        Prospect::Behind => "reads slowly, but would receive it: more than half of its outbox is full".into(),
        Prospect::HeldBack => "would receive it after the older messages that are redelivered first".into(),
        Prospect::Sender => "is the sender, which does not receive its own message".into(),
        Prospect::Closing => "is closing and would miss it".into(),
        Prospect::Reserved => "would not receive it: its protocol reserves the name of the event".into(),
        Prospect::NotMember => format!("is not in {target}, so it would not receive it"),
        Prospect::Detached { since_ms } => {
            let since = duration(Duration::from_millis(since_ms));
            let then = match (around.history, target, around.has_inbox) {
                (Some(_), _, _) => "would receive it on resume",
                (None, Target::User(_), true) => {
                    "would receive it on resume only if the message is stored in the inbox"
                }
                _ => "would miss it: neither an inbox nor a history would have it",
            };
            format!("is detached since {since} and {then}")
        }
    }
}

fn about_stores(target: &Target, planned: &Planned, around: &Around) -> Vec<String> {
    let mut sentences = Vec::new();
    match (target, around.waiting) {
        (Target::User(_), Some(waiting)) => sentences.push(format!(
            "Sent with `inbox`, it would also be stored until a client acknowledges it; {} there.",
            match waiting {
                1 => "one message waits".into(),
                WAITING_MAX.. => format!("at least {WAITING_MAX} messages wait"),
                other => format!("{} wait", counted(other, "message", "messages")),
            }
        )),
        (Target::User(_), None) => {
            sentences.push("The inbox is off, so messages are not stored for later.".into());
        }
        _ => {}
    }
    if let Some(HistoryLimits { messages_max, age_max_ms, .. }) = around.history {
        let age = duration(Duration::from_millis(age_max_ms));
        sentences.push(format!("{} keeps its last {messages_max} messages for {age}.", planned.to));
    }
    sentences
}

fn about_nodes(nodes: &[NodeView], unanswered: &[NodeId], around: &Around) -> Vec<String> {
    let mut sentences = Vec::new();
    if around.is_disconnected {
        sentences.push(format!(
            "Node {} is disconnected from the other nodes, so only its own sockets would receive it.",
            around.this
        ));
    }
    let names: Vec<String> = unanswered.iter().map(NodeId::to_string).collect();
    match &*names {
        [] => {}
        [one] => sentences.push(format!("Node {one} did not answer, so its sockets are unknown.")),
        many => sentences.push(format!("Nodes {} did not answer, so their sockets are unknown.", list(many))),
    }
    let found: usize = nodes.iter().map(|view| view.total).sum();
    if let Some(listed) = around.listed.filter(|listed| *listed != found && names.is_empty()) {
        sentences.push(format!(
            "The store lists {}, and the nodes have {found}: one of the two has just changed, or is of a node that has crashed.",
            counted(listed, "socket", "sockets")
        ));
    }
    sentences
}
