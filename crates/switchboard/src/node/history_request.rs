//! Reading the history of a room for a client: the request and the reply, the same on every protocol.
//!
//! A client reads what it may have received: messages that excluded it are left out, except its own, and so are events
//! whose names its protocol reserves.

use serde::{Deserialize, Serialize};
use switchboard_backplane::{HistoryPage, HistoryRange, RecordedMessage};
use switchboard_event::{
    Epoch, Event, Name, Payload, Position, Protocol, Resource, RoomName, SocketId, Target,
};
use switchboard_hub::Session;

use crate::node::Node;
use crate::node::access;
use crate::node::access::operation::Operation;
use crate::node::history::{HistoryError, read};

/// Messages of a reply if the client names no limit.
const LIMIT: usize = 50;

/// Most messages of a reply.
pub(crate) const LIMIT_MAX: usize = 1000;

/// The divisor of the outbox's bound for the bytes of a reply.
const REPLY_PART: usize = 2;

/// The request of a client.
#[derive(Deserialize)]
struct Fields {
    room: Option<String>,
    before: Option<PositionFields>,
    after: Option<PositionFields>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
struct PositionFields {
    epoch: String,
    offset: u64,
}

/// A checked request of a client.
#[derive(Debug)]
pub(crate) struct HistoryRequest {
    room: RoomName,
    range: HistoryRange,
    /// The epoch of the position in the request.
    epoch: Option<Epoch>,
    limit: usize,
}

/// A request of a client is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct HistoryRequestError(String);

impl HistoryRequest {
    /// Reads `{room, before?, after?, limit?}`; `own_room` is that of a client that names none.
    pub(crate) fn read(data: &Payload, own_room: Option<RoomName>) -> Result<Self, HistoryRequestError> {
        let error = |message: String| HistoryRequestError(message);
        let fields: Fields =
            data.to().map_err(|_| error("expected {room, before?, after?, limit?}".to_owned()))?;
        let named = fields.room.map(|name| RoomName::new(&name)).transpose();
        let room = named.map_err(|name| error(name.to_string()))?.or(own_room);
        let room = room.ok_or_else(|| error("`room` is missing".to_owned()))?;
        let position = |fields: PositionFields| {
            let epoch =
                fields.epoch.parse().map_err(|wrong: switchboard_event::EpochError| error(wrong.to_string()));
            epoch.map(|epoch| Position { epoch, offset: fields.offset })
        };
        let (range, epoch) = match (fields.before.map(position), fields.after.map(position)) {
            (None, None) => (HistoryRange::Latest, None),
            (Some(before), None) => before.map(|at| (HistoryRange::Before(at.offset), Some(at.epoch)))?,
            (None, Some(after)) => after.map(|at| (HistoryRange::After(at.offset), Some(at.epoch)))?,
            (Some(_), Some(_)) => return Err(error("expected `before` or `after`, not both".to_owned())),
        };
        let limit = fields.limit.unwrap_or(LIMIT).min(LIMIT_MAX);
        Ok(HistoryRequest { room, range, epoch, limit })
    }

    /// How many messages the reply may have. Each counts as one message of the rate limit.
    pub(crate) fn cost(&self) -> usize {
        self.limit
    }

    /// Reads the history for a client, which needs the right to.
    pub(crate) async fn answer(&self, node: &Node, session: &Session) -> Result<Payload, HistoryError> {
        let project = &session.project.id;
        access::check(node, session, Operation::History, resource_of(session.protocol, &self.room))?;
        // A member then receives what is sent after the read.
        node.hub().bus().settled().await;
        let page = read(node, project, &self.room, self.range, self.limit).await?;
        Ok(self.reply(node, session, page))
    }

    fn reply(&self, node: &Node, session: &Session, page: HistoryPage) -> Payload {
        let has_gap = self.has_gap(&page);
        let HistoryPage { epoch, top, first, messages } = page;
        // A position of another epoch is no place in this history.
        let is_foreign = self.epoch.is_some_and(|asked| asked != epoch);
        let messages = if is_foreign { Vec::new() } else { messages };
        let visible = |message: &&RecordedMessage| {
            may_read(session, message) && !(node.encoders().reserves)(session.protocol, &message.event)
        };
        let visible: Vec<&RecordedMessage> = messages.iter().filter(visible).collect();
        let bytes_max = node.limits().outbox_bytes_max / REPLY_PART;
        let reply = Reply {
            room: &self.room,
            epoch,
            top,
            first,
            gap: has_gap,
            messages: fitting(&visible, bytes_max, self.range)
                .iter()
                .map(|message| Entry::of(message))
                .collect(),
        };
        Payload::of(&reply).expect("names, numbers and payloads serialize as JSON")
    }

    /// Returns true if messages between the position of the request and the reply may be missing.
    fn has_gap(&self, page: &HistoryPage) -> bool {
        match (self.range, self.epoch) {
            (HistoryRange::After(offset), Some(epoch)) => !page.continues(Position { epoch, offset }),
            (_, Some(epoch)) => epoch != page.epoch,
            (_, None) => false,
        }
    }
}

/// The reply to a client.
#[derive(Serialize)]
struct Reply<'a> {
    room: &'a RoomName,
    epoch: Epoch,
    top: u64,
    first: u64,
    gap: bool,
    messages: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    offset: u64,
    event: &'a Name,
    data: &'a Payload,
    sender: Option<SocketId>,
    time: u64,
}

impl<'a> Entry<'a> {
    fn of(message: &'a RecordedMessage) -> Self {
        let RecordedMessage { offset, event: Event { name, data, sender, time_ms, .. }, .. } = message;
        Entry { offset: *offset, event: name, data, sender: *sender, time: *time_ms }
    }
}

/// The messages that fit in a reply, at least one: the oldest after a position, else the latest.
fn fitting<'m, 'a>(
    messages: &'m [&'a RecordedMessage],
    bytes_max: usize,
    range: HistoryRange,
) -> &'m [&'a RecordedMessage] {
    const ENTRY_BYTES: usize = 160;
    let mut bytes = 0;
    let mut fits = |message: &&RecordedMessage| {
        bytes += ENTRY_BYTES + message.event.name.len() + message.event.data.as_bytes().len();
        bytes <= bytes_max
    };
    let count = match range {
        HistoryRange::After(_) => messages.iter().take_while(|message| fits(message)).count(),
        _ => messages.iter().rev().take_while(|message| fits(message)).count(),
    };
    let count = count.max(messages.len().min(1));
    match range {
        HistoryRange::After(_) => &messages[..count],
        _ => &messages[messages.len() - count..],
    }
}

/// Returns true if a client may read a message in a history: it has sent it, or was not excluded from it.
pub(crate) fn may_read(session: &Session, message: &RecordedMessage) -> bool {
    message.event.sender == Some(session.id) || !is_excluded(session, &message.except)
}

/// Returns true if the exclusions of a message apply to a client, by its present memberships.
pub(crate) fn is_excluded(session: &Session, except: &[Target]) -> bool {
    except.iter().any(|target| match target {
        Target::Everyone => true,
        Target::Socket(id) => *id == session.id,
        target => session.is_member(target),
    })
}

/// The resource of the right to read: a Koji client names the room of a shard.
fn resource_of(protocol: Protocol, room: &RoomName) -> Resource<'_> {
    match protocol {
        Protocol::Koji => Resource::Shard(&room[1..]),
        _ => Resource::Room(&room[1..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(data: &str) -> Result<HistoryRequest, HistoryRequestError> {
        HistoryRequest::read(&Payload::parse(data).unwrap(), None)
    }

    #[test]
    fn a_request_names_a_room_and_at_most_one_position() {
        let request = read(r##"{"room":"lobby","after":{"epoch":"00000000000000ff","offset":3}}"##).unwrap();
        assert_eq!((&*request.room, request.limit), ("#lobby", LIMIT));
        assert_eq!((request.range, request.epoch), (HistoryRange::After(3), Some(Epoch(255))));
        assert_eq!(read(r#"{"room":"r","limit":99999999}"#).unwrap().limit, LIMIT_MAX);
        let position = r#"{"epoch":"00000000000000ff","offset":3}"#;
        for wrong in [
            "{}".to_owned(),
            "[]".to_owned(),
            r#"{"room":""}"#.to_owned(),
            r#"{"room":"*tag"}"#.to_owned(),
            r#"{"room":7}"#.to_owned(),
            r#"{"room":"r","limit":-1}"#.to_owned(),
            r#"{"room":"r","after":{"epoch":"xyz","offset":3}}"#.to_owned(),
            r#"{"room":"r","after":{"epoch":"00000000000000ff","offset":-3}}"#.to_owned(),
            format!(r#"{{"room":"r","after":{position},"before":{position}}}"#),
        ] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
    }
}
