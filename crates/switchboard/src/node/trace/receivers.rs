//! What became of a message at each socket, from the steps of its trace.

use std::collections::BTreeMap;
use std::time::Duration;

use switchboard_event::SocketId;

use super::record::{NodeTrace, Outcome, Recipient, Trace, TraceStep};
use crate::node::words::{capitalized, counted, duration, ordinal};

/// Most owners of sockets that are described one by one; of others the numbers are given.
const OWNERS_MAX: usize = 10;

/// A socket of the audience, and the last step that its node has recorded.
struct Receiver<'a> {
    recipient: &'a Recipient,
    state: State,
    /// The message is in the inbox of the user.
    is_stored: bool,
}

/// What became of the message at a socket. Times are since the node of the socket has received the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Excluded,
    Outcome(Outcome),
    Unsent(Unsent),
    Written(Duration),
    Acknowledged(Duration),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unsent {
    Replaced,
    Dropped,
    Redelivered,
    Disconnected,
}

/// A sentence or two about each user, or about all sockets if there are many.
pub(super) fn sentences(trace: &Trace, is_numbered: bool) -> Vec<String> {
    let mut owners: BTreeMap<Owner<'_>, Vec<Receiver<'_>>> = BTreeMap::new();
    for receiver in trace.nodes.iter().flat_map(receivers_of) {
        owners.entry(Owner::of(receiver.recipient)).or_default().push(receiver);
    }
    match owners.len() {
        ..=OWNERS_MAX => owners.iter().map(|(owner, of)| about_owner(*owner, of, is_numbered)).collect(),
        _ => about_all(owners.into_values().flatten().collect(), is_numbered),
    }
}

/// The users with a socket in the audience.
pub(super) fn users(trace: &Trace) -> Vec<&str> {
    let receivers = trace.nodes.iter().flat_map(receivers_of);
    receivers.filter_map(|receiver| receiver.recipient.user.as_deref()).collect()
}

/// The owner of sockets: a user, or a socket without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Owner<'a> {
    User(&'a str),
    Socket(SocketId),
}

impl<'a> Owner<'a> {
    fn of(recipient: &'a Recipient) -> Self {
        recipient.user.as_deref().map_or(Owner::Socket(recipient.socket), Owner::User)
    }
}

/// The sockets of a node, in the order in which the node has recorded them.
fn receivers_of(node: &NodeTrace) -> Vec<Receiver<'_>> {
    let begun_us = node.steps.first().map_or(0, |step| step.at_us);
    let mut receivers: Vec<Receiver<'_>> = Vec::new();
    for timed in &node.steps {
        match &timed.step {
            TraceStep::Excluded(recipient) => update(&mut receivers, recipient, State::Excluded, false),
            TraceStep::Receiver { recipient, outcome } => {
                update(&mut receivers, recipient, State::Outcome(*outcome), false);
            }
            TraceStep::FromInbox { recipient, .. } => {
                update(&mut receivers, recipient, State::Outcome(Outcome::Queued), true);
            }
            _ => {}
        }
    }
    // A frame may be sent before the step of its receiver is recorded, so these come second.
    for timed in &node.steps {
        let after = Duration::from_micros(timed.at_us.saturating_sub(begun_us));
        let (socket, state) = match &timed.step {
            TraceStep::Written { socket } => (socket, State::Written(after)),
            TraceStep::Acknowledged { socket, .. } => (socket, State::Acknowledged(after)),
            TraceStep::Unsent { socket, reason } => (socket, State::Unsent(unsent(reason))),
            _ => continue,
        };
        let receiver = receivers.iter_mut().find(|receiver| receiver.recipient.socket == *socket);
        if let Some(receiver) = receiver
            && !matches!(receiver.state, State::Acknowledged(_))
        {
            receiver.state = state;
        }
    }
    receivers
}

fn update<'a>(receivers: &mut Vec<Receiver<'a>>, recipient: &'a Recipient, state: State, is_stored: bool) {
    match receivers.iter_mut().find(|receiver| receiver.recipient.socket == recipient.socket) {
        Some(receiver) => (receiver.state, receiver.is_stored) = (state, receiver.is_stored || is_stored),
        None => receivers.push(Receiver { recipient, state, is_stored }),
    }
}

fn unsent(reason: &str) -> Unsent {
    match reason {
        "replaced" => Unsent::Replaced,
        "dropped" => Unsent::Dropped,
        "redelivered" => Unsent::Redelivered,
        _ => Unsent::Disconnected,
    }
}

fn about_owner(owner: Owner<'_>, receivers: &[Receiver<'_>], is_numbered: bool) -> String {
    let states: Vec<String> = receivers.iter().map(|receiver| receiver.words(is_numbered)).collect();
    match (owner, &*states) {
        (Owner::Socket(id), [state, ..]) => format!("Socket {id} {state}."),
        (Owner::User(user), [state]) => format!("User {user} has one socket. It {state}."),
        (Owner::User(user), states) => {
            let count = states.len();
            let each = states
                .iter()
                .enumerate()
                .map(|(place, state)| format!(" {} {state}.", ordinal(place, count)));
            let each: String = each.collect();
            format!("User {user} has {}.{each}", counted(count, "socket", "sockets"))
        }
        (Owner::Socket(_), []) => String::new(),
    }
}

fn about_all(receivers: Vec<Receiver<'_>>, is_numbered: bool) -> Vec<String> {
    let mut slowest = Duration::ZERO;
    let mut received = 0;
    let mut others: BTreeMap<String, usize> = BTreeMap::new();
    for receiver in &receivers {
        match receiver.state {
            State::Written(after) | State::Acknowledged(after) => {
                (received, slowest) = (received + 1, slowest.max(after));
            }
            _ => *others.entry(receiver.words(is_numbered)).or_default() += 1,
        }
    }
    let sockets = |count| capitalized(&counted(count, "socket", "sockets"));
    let mut sentences = vec![match received {
        0 => "No socket has received it.".into(),
        _ => format!("{} received it, the last after {}.", sockets(received), duration(slowest)),
    }];
    sentences.extend(others.into_iter().map(|(words, count)| format!("{}: {words}.", sockets(count))));
    sentences
}

impl Receiver<'_> {
    /// The rest of a sentence about the socket.
    fn words(&self, is_numbered: bool) -> String {
        let will_come = is_numbered || self.is_stored;
        match self.state {
            State::Excluded => "is excluded, so it does not receive it".into(),
            State::Written(after) if self.is_stored => {
                format!("received it after {} and has not acknowledged it yet", duration(after))
            }
            State::Written(after) => format!("received it after {}", duration(after)),
            State::Acknowledged(after) => format!("acknowledged it after {}", duration(after)),
            State::Unsent(Unsent::Replaced) => {
                "received a newer message with the same key in its place".into()
            }
            State::Unsent(Unsent::Dropped) => {
                "missed it: its outbox was full, and the message was dropped to make room for newer ones"
                    .into()
            }
            State::Unsent(Unsent::Redelivered) => "received it in a redelivery".into(),
            State::Unsent(Unsent::Disconnected) if will_come => {
                "disconnected before it was sent, and will receive it on resume".into()
            }
            State::Unsent(Unsent::Disconnected) => {
                "missed it: it disconnected before the message was sent".into()
            }
            State::Outcome(outcome) => outcome_words(outcome, will_come),
        }
    }
}

fn outcome_words(outcome: Outcome, will_come: bool) -> String {
    match outcome {
        Outcome::Queued | Outcome::Replaced => "has it in its outbox; it is not sent yet".into(),
        Outcome::Behind => {
            "reads slowly: the message waits in its outbox, of which more than half is full".into()
        }
        Outcome::HeldBack => "will receive it after the older messages that are redelivered first".into(),
        Outcome::Dropped => {
            "missed it: its outbox was full, and the overflow policy of the message drops it then".into()
        }
        Outcome::Lagging => {
            "reads slowly: its outbox was full, and it will receive the message from the history of the room"
                .into()
        }
        Outcome::Overflowed => "missed it: its outbox was full, so it was closed with 1013".into(),
        Outcome::Closing if will_come => {
            "was closing; its user receives the message at the next connect".into()
        }
        Outcome::Closing => "missed it: it was closing".into(),
        Outcome::Reserved => "does not receive it: its protocol reserves the name of the event".into(),
        Outcome::Detached { since_ms } => {
            let since = duration(Duration::from_millis(since_ms));
            match will_come {
                true => format!("is detached since {since} and will receive it on resume"),
                false => {
                    format!("is detached since {since} and misses it: neither an inbox nor a history has it")
                }
            }
        }
    }
}
