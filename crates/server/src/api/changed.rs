//! The outcome of a change of sockets: those of this node, and whether the other nodes were notified.

use serde::Serialize;
use switchboard::CommandError;
use utoipa::ToSchema;

use super::problem::Problem;

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
