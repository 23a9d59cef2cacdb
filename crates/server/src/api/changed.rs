//! Changes of the memberships of an audience: what to change, and how many sockets of this node were changed.

use serde::{Deserialize, Serialize};
use switchboard::{App, Audience, CommandError};
use utoipa::ToSchema;

use super::endpoint::Context;
use super::problem::Problem;
use super::targets::Targets;

/// Sockets, and a room that they join or leave.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RoomChange {
    /// The sockets.
    to: Targets,
    /// Sockets to leave out.
    #[serde(default)]
    except: Targets,
    /// The room, with or without `#`.
    #[schema(example = "lobby", min_length = 1, max_length = 256)]
    room: String,
    /// The project. Default: the server's own.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 256)]
    project: Option<String>,
}

/// Sockets, and a tag that they get or lose.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TagChange {
    /// The sockets.
    to: Targets,
    /// Sockets to leave out.
    #[serde(default)]
    except: Targets,
    /// The tag, with or without `*`.
    #[schema(example = "vip", min_length = 1, max_length = 256)]
    tag: String,
    /// The project. Default: the server's own.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 256)]
    project: Option<String>,
}

/// A method of the app that changes the memberships of an audience. Returns the number of changed sockets of this node.
type Change = fn(&App, Audience, &str) -> Result<usize, CommandError>;

impl RoomChange {
    pub(super) fn execute(self, context: &Context, change: Change) -> Result<Changed, Problem> {
        let app = context.project(self.project.as_deref())?;
        changed("room", change(&app, self.to.except(self.except)?, &self.room))
    }
}

impl TagChange {
    pub(super) fn execute(self, context: &Context, change: Change) -> Result<Changed, Problem> {
        let app = context.project(self.project.as_deref())?;
        changed("tag", change(&app, self.to.except(self.except)?, &self.tag))
    }
}

/// The result of a change of sockets.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Changed {
    /// Number of changed sockets of this node. Those of other nodes are not counted.
    sockets_here: usize,
    /// True if other nodes did not get the command because Redis is down; otherwise left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    degraded: Option<bool>,
}

/// The result of a command. `field` has the name in the command.
pub(super) fn changed(field: &str, outcome: Result<usize, CommandError>) -> Result<Changed, Problem> {
    match outcome {
        Ok(sockets_here) => Ok(Changed { sockets_here, degraded: None }),
        Err(CommandError::Partial { sockets_here, .. }) => Ok(Changed { sockets_here, degraded: Some(true) }),
        Err(error) => Err(Problem::invalid_field(field, error)),
    }
}
