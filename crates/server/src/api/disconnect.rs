//! `POST /api/v1/disconnect`: closes the sockets of an audience on all nodes.

use serde::Deserialize;
use switchboard_ws::CloseCode;
use switchboard_ws::close::REASON_BYTES_MAX;
use utoipa::ToSchema;

use super::changed::{Changed, changed};
use super::endpoint::Context;
use super::problem::Problem;
use super::targets::Targets;

/// The sockets to close, with the code and the reason.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Disconnect {
    /// The sockets to close. Each receives its queued frames first.
    to: Targets,
    /// Sockets to leave open.
    #[serde(default)]
    except: Targets,
    /// The close code: 1000 to 1003, 1007 to 1014, or a code of the application, 3000 to 4999.
    #[serde(default = "normal")]
    #[schema(default = 1000, minimum = 1000, maximum = 4999)]
    code: u16,
    /// The reason, at most 123 bytes.
    #[serde(default)]
    #[schema(example = "banned", max_length = 123)]
    reason: String,
    /// The project, called namespace in Mesa. Default: the server's own.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 256)]
    project: Option<String>,
}

fn normal() -> u16 {
    CloseCode::NORMAL.0
}

/// Closes the sockets of users, rooms, tags, sockets or everyone.
#[utoipa::path(
    post,
    path = "/api/v1/disconnect",
    request_body(content = Disconnect, example = json!({ "to": { "users": ["7"] }, "code": 4003, "reason": "banned" })),
    responses((status = 200, description = "The sockets are closed", body = Changed))
)]
pub(super) async fn endpoint(context: Context, disconnect: Disconnect) -> Result<Changed, Problem> {
    let Disconnect { to, except, code, reason, project } = disconnect;
    let app = context.project(project.as_deref())?;
    let code = CloseCode::to_send(code).map_err(|error| Problem::invalid_field("code", error))?;
    if reason.len() > REASON_BYTES_MAX {
        let found = reason.len();
        let problem = format!("{found} bytes, over the limit of {REASON_BYTES_MAX}");
        return Err(Problem::invalid_field("reason", problem));
    }
    changed("to", app.disconnect(to.except(except)?, code.0, &reason))
}
