//! Which reports an endpoint receives.

use switchboard_backplane::{ClientAction, Report};
use switchboard_event::{ProjectId, RoomName};

use super::event_kind::{EventKind, EventSet};
use super::options::RoomPattern;

/// The selection of one endpoint.
#[derive(Debug)]
pub(crate) struct Filter {
    pub(crate) events: EventSet,
    pub(crate) projects: Vec<ProjectId>,
    pub(crate) rooms: Option<RoomPattern>,
}

impl Filter {
    /// Returns true if the endpoint receives the report.
    pub(crate) fn takes(&self, report: &Report) -> bool {
        let is_selected = |kind| self.takes_kind(&report.project, kind);
        EventKind::of(&report.action).is_some_and(is_selected) && self.takes_room(&report.action)
    }

    /// Returns true if the endpoint receives reports of a kind from a project.
    pub(crate) fn takes_kind(&self, project: &ProjectId, kind: EventKind) -> bool {
        self.events.contains(kind) && self.projects.contains(project)
    }

    /// Returns true if the endpoint receives events about a room.
    pub(crate) fn takes_rooms_of(&self, project: &ProjectId, room: &RoomName) -> bool {
        let matches = |pattern: &RoomPattern| pattern.matches(room);
        self.projects.contains(project) && self.rooms.as_ref().is_none_or(matches)
    }

    fn takes_room(&self, action: &ClientAction) -> bool {
        match (action, &self.rooms) {
            (
                ClientAction::Joined(room)
                | ClientAction::Left(room)
                | ClientAction::Occupied(room)
                | ClientAction::Vacated(room),
                Some(pattern),
            ) => pattern.matches(room),
            _ => true,
        }
    }
}
