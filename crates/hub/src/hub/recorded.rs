//! Messages of rooms with a history: sending, receiving them from the history, and repairing holes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use switchboard_backplane::{
    AppendOutcome, Content, HistoryPage, IfUnreached, Publication, RecordedMessage, RoomMessage,
};
use switchboard_event::{Audience, OverflowPolicy, Parcel, Position, ProjectId, RoomName, Target};

use super::Hub;
use crate::delivery::Delivered;
use crate::hub_event::{HubEvent, Stage};
use crate::room_cursors::Arrival;
use crate::room_history::RoomHistory;
use crate::session::Session;
use crate::trace::TracePoint;

/// Messages that members of a room on this node have missed for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The first and the last lost offset; `None` if the history has begun another epoch.
    pub offsets: Option<(u64, u64)>,
}

/// The outcome of filling a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filled {
    /// Messages that are no longer in the history.
    pub gap: Option<Gap>,
    /// There is another hole behind: read the history again.
    pub has_hole: bool,
}

impl Hub {
    /// Sends a message that the history of its room keeps. `None` if no history keeps it, so that it is sent without a
    /// position.
    pub(super) fn send_recorded(
        &self,
        history: &RoomHistory,
        project: &ProjectId,
        audience: &Audience,
        parcel: &Parcel,
    ) -> Option<Delivered> {
        let (room, limits) = history.records(audience, &parcel.policy)?;
        let message = RoomMessage { project, room, except: &audience.except, event: &parcel.event };
        let mut delivered = Delivered::default();
        let appended = history.log.append(message, limits, &mut |position| {
            let parcel =
                Parcel::new(parcel.event.clone(), parcel.policy.clone()).with_position(room, position);
            delivered = self.deliver(project, audience, &parcel);
            let content =
                Content::Event { event: parcel.event, policy: parcel.policy, position: Some(position) };
            // A loss is counted.
            let _ = self.publish_to_others(project, audience, content, IfUnreached::Ignore);
        });
        self.trace(project, &parcel.event, TracePoint::History(appended));
        match appended {
            AppendOutcome::Delivered => self.passed(&parcel.event, &parcel.policy, Stage::Published),
            AppendOutcome::Queued => self.passed(&parcel.event, &parcel.policy, Stage::Queued),
            AppendOutcome::Unavailable => {}
        }
        let stats = &self.delivery.stats;
        let counter =
            if appended == AppendOutcome::Unavailable { &stats.unrecorded } else { &stats.recorded };
        counter.fetch_add(1, Ordering::Relaxed);
        match appended {
            AppendOutcome::Delivered => Some(delivered),
            // The sockets that will receive it, unless they leave before it is numbered.
            AppendOutcome::Queued => {
                let queued = self.members(project, audience).len();
                Some(Delivered { queued, ..Delivered::default() })
            }
            AppendOutcome::Unavailable => None,
        }
    }

    /// Returns true if this node must follow the positions of a room, because publications of its history may be lost.
    pub(super) fn follows(&self, room: &RoomName) -> bool {
        let history = self.history.as_ref().filter(|history| history.log.has_holes());
        history.is_some_and(|history| history.rules.limits(room).is_some())
    }

    /// Delivers an event of another node or of a history. One with a position is delivered if it is the next of its room.
    pub(super) fn receive_event(&self, publication: Publication) {
        let Content::Event { position, .. } = publication.content else { return };
        match (position, &*publication.audience.to) {
            (Some(position), [Target::Room(room)]) if self.follows(room) => {
                let key = (publication.project.clone(), room.clone());
                let deliver = |publication| self.deliver_event(publication);
                if self.cursors.arrived(key.clone(), position, publication, deliver) == Arrival::Hole {
                    self.notify(HubEvent::Hole { project: key.0, room: key.1 });
                }
            }
            _ => self.deliver_event(publication),
        }
    }

    fn deliver_event(&self, publication: Publication) {
        let Publication { project, audience, content: Content::Event { event, policy, position } } =
            publication
        else {
            return;
        };
        self.trace(&project, &event, TracePoint::Received(&event, &audience));
        let mut parcel = Parcel::new(event, policy);
        if let (Some(position), [Target::Room(room)]) = (position, &*audience.to) {
            parcel.set_position(room, position);
        }
        self.deliver(&project, &audience, &parcel);
    }

    /// Reports a room that has its first member on this node, if its positions are followed.
    pub(super) fn room_begins(&self, project: &ProjectId, target: &Target) {
        if let Target::Room(room) = target
            && self.follows(room)
        {
            let number = self.cursors.follow((project.clone(), room.clone()));
            self.notify(HubEvent::RoomBegins { project: project.clone(), room: room.clone(), number });
        }
    }

    /// Forgets a room without a member on this node.
    pub(super) fn room_ends(&self, project: &ProjectId, target: &Target) {
        if let Target::Room(room) = target
            && self.follows(room)
        {
            self.cursors.forget(&(project.clone(), room.clone()));
        }
    }

    /// Sets where the history of a room ended when it had its first member on this node; see [`HubEvent::RoomBegins`].
    pub fn begin_room(&self, project: &ProjectId, room: &RoomName, number: u64, position: Position) {
        self.cursors.begin(&(project.clone(), room.clone()), number, position);
    }

    /// Calls `announce` with each member of a room that began with this number and whose client receives positions, and the
    /// position up to which the member has received everything. Called when no earlier publication is under way any more.
    pub fn settle_room(
        &self,
        project: &ProjectId,
        room: &RoomName,
        number: u64,
        mut announce: impl FnMut(&Arc<Session>, Position),
    ) {
        self.cursors.settle(&(project.clone(), room.clone()), number, |position| {
            let members = self.members(project, &Target::Room(room.clone()).into());
            for session in members.iter().filter(|session| session.wants_positions) {
                announce(session, position);
            }
        });
    }

    /// Calls `announce` with the position up to which a member of a room has received everything since its join, while
    /// nothing else of the room is delivered. Returns false if the room has no history or the position is not known.
    pub fn with_room_position(
        &self,
        session: &Session,
        room: &RoomName,
        announce: &mut dyn FnMut(Position),
    ) -> bool {
        let Some(history) = self.history.as_ref().filter(|history| history.rules.limits(room).is_some())
        else {
            return false;
        };
        let project = &session.project.id;
        let mut announce = |position| {
            // What a slow client has skipped follows from the history.
            if !session.outbox.lags_in(room) {
                announce(position);
            }
        };
        match history.log.has_holes() {
            true => self.cursors.with_position(&(project.clone(), room.clone()), &mut announce),
            false => history.log.with_top(project, room, &mut announce),
        }
    }

    /// The rooms with positions that this node follows.
    pub fn followed_rooms(&self) -> Vec<(ProjectId, RoomName)> {
        self.cursors.rooms()
    }

    /// Pauses a room, because publications may have been lost. Returns false if it was paused already, or if nothing has
    /// arrived for it and its beginning is unknown.
    pub fn pause_room(&self, project: &ProjectId, room: &RoomName) -> bool {
        self.cursors.pause(&(project.clone(), room.clone()))
    }

    /// The position behind which a paused room continues.
    pub fn paused_room_at(&self, project: &ProjectId, room: &RoomName) -> Option<Position> {
        self.cursors.paused_at(&(project.clone(), room.clone()))
    }

    /// Delivers what a paused room has missed, and then what was held. `page` was read after its position, without a limit.
    pub fn fill_room(&self, project: &ProjectId, room: &RoomName, page: HistoryPage) -> Filled {
        let key = (project.clone(), room.clone());
        let Some(at) = self.cursors.paused_at(&key) else { return Filled { gap: None, has_hole: false } };
        let up_to = page.top_position();
        let is_same_epoch = at.epoch == page.epoch;
        let offsets = (is_same_epoch && at.offset < page.first).then(|| (at.offset + 1, page.first - 1));
        let gap = (!page.continues(at)).then_some(Gap { offsets });
        let deliver_stretch = || {
            for RecordedMessage { offset, except, event } in page.messages {
                let audience = Audience { to: vec![Target::Room(room.clone())], except };
                let position = Position { epoch: up_to.epoch, offset };
                let parcel = Parcel::new(event, OverflowPolicy::Live).with_position(room, position);
                self.deliver(project, &audience, &parcel);
            }
        };
        let has_hole = self.resume_room(&key, up_to, deliver_stretch);
        Filled { gap, has_hole }
    }

    /// Gives up what a paused room has missed, and delivers what was held.
    pub fn skip_hole(&self, project: &ProjectId, room: &RoomName) -> Filled {
        let key = (project.clone(), room.clone());
        let (at, before) = (self.cursors.paused_at(&key), self.cursors.before_held(&key));
        let (Some(at), Some(up_to)) = (at, before) else { return Filled { gap: None, has_hole: false } };
        let offsets =
            (at.epoch == up_to.epoch && at.offset < up_to.offset).then(|| (at.offset + 1, up_to.offset));
        let has_hole = self.resume_room(&key, up_to, || ());
        Filled { gap: Some(Gap { offsets }), has_hole }
    }

    fn resume_room(
        &self,
        key: &(ProjectId, RoomName),
        up_to: Position,
        deliver_stretch: impl FnOnce(),
    ) -> bool {
        self.cursors.resume(key, up_to, deliver_stretch, |publication| self.deliver_event(publication))
    }
}
