//! A trace in sentences.

use super::receivers;
use super::record::{Described, Trace, TraceStep};
use crate::node::words::{capitalized, counted, list};

impl Trace {
    /// What became of the message, in sentences for people. "Received" means that the kernel of the node has accepted the
    /// frame for the connection; only "acknowledged" means that the client has answered.
    pub fn explain(&self) -> Vec<String> {
        let mut sentences = vec![self.about_beginning()];
        if self.message().is_some() || !self.nodes.is_empty() {
            sentences.extend(self.about_stores());
            sentences.extend(receivers::sentences(self, self.is_numbered() || self.is_stored()));
            sentences.extend(self.about_missing());
            sentences.extend(self.about_publications());
        }
        sentences.extend(self.about_nodes());
        let left_out: u64 = self.nodes.iter().map(|node| node.left_out).sum();
        if left_out > 0 {
            sentences.push(format!("{left_out} further steps were not recorded."));
        }
        sentences
    }

    fn steps(&self) -> impl Iterator<Item = &TraceStep> {
        self.nodes.iter().flat_map(|node| &node.steps).map(|timed| &timed.step)
    }

    fn is_numbered(&self) -> bool {
        self.steps().any(|step| matches!(step, TraceStep::Numbered { .. }))
    }

    fn is_stored(&self) -> bool {
        self.steps().any(|step| matches!(step, TraceStep::Stored { .. } | TraceStep::FromInbox { .. }))
    }

    fn about_beginning(&self) -> String {
        let Some(message) = self.message() else {
            return match &*self.nodes {
                [] => {
                    "No node knows this message: it was not traced, was forgotten, or is of another project."
                        .into()
                }
                _ => "The nodes know the message only from its redelivery.".into(),
            };
        };
        let Described { event, bytes, sender, to, except, .. } = message;
        let (to, bytes) = (list(to), counted(*bytes, "byte", "bytes"));
        let except = if except.is_empty() { String::new() } else { format!(" except {}", list(except)) };
        let first = self.nodes.iter().find_map(|node| Some((node, node.steps.first()?)));
        let (node, at) = first.map_or(("", 0), |(node, step)| (&*node.node, step.at_us));
        let at = time_of_day(at);
        let by = sender.map_or("the application".into(), |sender| format!("socket {sender}"));
        let event = format!("`{event}` ({bytes})");
        let refused = self.steps().find_map(|step| match step {
            TraceStep::Refused { right, resource, .. } => Some((right, resource)),
            _ => None,
        });
        if let Some((right, resource)) = refused {
            return format!(
                "Node {node} refused {event} of {by} to {to} at {at} UTC: the client has no {right} right on {resource}."
            );
        }
        match self.steps().any(|step| matches!(step, TraceStep::Sent(_))) {
            true => format!("Node {node} sent {event} of {by} to {to}{except} at {at} UTC."),
            false => format!(
                "Node {node} received {event} to {to}{except} at {at} UTC; a dispatcher or a node that has forgotten it has sent it."
            ),
        }
    }

    fn about_stores(&self) -> Vec<String> {
        let sentence = |step: &TraceStep| {
            Some(match step {
                TraceStep::Stored { inboxes } => {
                    format!("It is stored in {}.", counted(*inboxes, "inbox", "inboxes"))
                }
                TraceStep::NotStored { reason } => format!("It may not be stored: {reason}."),
                TraceStep::History { outcome } if outcome == "unavailable" => {
                    "The history of the room was unavailable, so the message is not in it.".into()
                }
                _ => return None,
            })
        };
        let mut sentences: Vec<String> = self.steps().filter_map(sentence).collect();
        let numbered = self.steps().find_map(|step| match step {
            TraceStep::Numbered { room, offset } => {
                Some(format!("It is number {offset} in the history of {room}."))
            }
            _ => None,
        });
        sentences.extend(numbered);
        sentences
    }

    /// Users of the audience without a socket, and an audience without sockets.
    fn about_missing(&self) -> Vec<String> {
        let is_refused = self.steps().any(|step| matches!(step, TraceStep::Refused { .. }));
        let Some(message) = self.message().filter(|_| !is_refused) else { return Vec::new() };
        let online = receivers::users(self);
        let users = message.to.iter().filter_map(|target| target.strip_prefix("user "));
        let offline = users.filter(|user| !online.contains(user)).map(|user| match self.is_stored() {
            true => format!("User {user} has no socket. The message waits in the inbox of the user."),
            false => format!("User {user} has no socket, so nobody received it there."),
        });
        let mut sentences: Vec<String> = offline.collect();
        let has_receivers = self.steps().any(|step| {
            let is_receiver = matches!(step, TraceStep::Receiver { .. } | TraceStep::FromInbox { .. });
            is_receiver || matches!(step, TraceStep::Excluded(_))
        });
        if sentences.is_empty() && !has_receivers {
            sentences.push(format!("No socket is in {}, so nobody received it.", list(&message.to)));
        }
        sentences
    }

    fn about_publications(&self) -> Vec<String> {
        let recorded = self.nodes.len().saturating_sub(1);
        let sentence = |step: &TraceStep| {
            Some(match step {
                TraceStep::NotPublished { reason } => {
                    format!("Other nodes did not receive it: {reason}.")
                }
                TraceStep::Published { nodes: Some(0) } => {
                    "No other node has a socket in its audience.".into()
                }
                TraceStep::Published { nodes: Some(count) } if *count > recorded => {
                    let nodes = capitalized(&counted(*count, "other node", "other nodes"));
                    let has = if *count == 1 { "was" } else { "were" };
                    format!(
                        "{nodes} {has} subscribed to its audience; {} recorded it.",
                        counted(recorded, "node has", "nodes have")
                    )
                }
                _ => return None,
            })
        };
        self.steps().filter_map(sentence).collect()
    }

    fn about_nodes(&self) -> Vec<String> {
        let named = |nodes: &[switchboard_event::NodeId]| {
            let names: Vec<String> = nodes.iter().map(|node| node.to_string()).collect();
            format!("{} {}", if nodes.len() == 1 { "Node" } else { "Nodes" }, list(&names))
        };
        let mut sentences = Vec::new();
        if !self.unanswered.is_empty() {
            let whose = if self.unanswered.len() == 1 { "its" } else { "their" };
            sentences
                .push(format!("{} did not answer, so {whose} part is unknown.", named(&self.unanswered)));
        }
        if !self.nodes.is_empty() && !self.without_record.is_empty() {
            sentences.push(format!(
                "{} recorded nothing: the message has no receivers there, or did not arrive.",
                named(&self.without_record)
            ));
        }
        sentences
    }
}

/// The time of day in UTC, of microseconds since 1970.
fn time_of_day(at_us: u64) -> String {
    let (ms, seconds) = (at_us / 1000 % 1000, at_us / 1_000_000);
    let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{ms:03}", seconds % 60)
}
