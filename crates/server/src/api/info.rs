//! `GET /api/v1/info`: this node and a project in numbers.

use serde::{Deserialize, Serialize};
use switchboard::ProjectId;
use utoipa::{IntoParams, ToSchema};

use super::endpoint::Context;
use super::key::now_ms;
use super::problem::{Problem, query};

/// Which project.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct InfoQuery {
    /// The project. Default: the server's own.
    project: Option<String>,
}

/// This node and a project in numbers.
#[derive(Serialize, ToSchema)]
pub(super) struct Info {
    /// The version of this node.
    version: &'static str,
    /// The id of this node.
    #[schema(example = "0badcafe")]
    node: String,
    /// The project.
    #[schema(value_type = String, example = "default")]
    project: ProjectId,
    /// Number of the project's sockets on all nodes.
    sockets: usize,
    /// Number of the project's users with a socket.
    users: usize,
    /// True while publications between nodes are lost or late.
    degraded: bool,
    /// True once this node is stopping.
    stopping: bool,
    /// True while this node is draining.
    draining: bool,
    /// When the store answered, in ms since 1970.
    as_of_ms: u64,
}

/// Returns this node and a project in numbers.
#[utoipa::path(
    get,
    path = "/api/v1/info",
    params(InfoQuery),
    responses((status = 200, description = "The numbers", body = Info))
)]
pub(super) async fn endpoint(context: Context, info: InfoQuery) -> Result<Info, Problem> {
    let app = context.project(info.project.as_deref())?;
    let (hub, sockets) = (app.hub(), app.total_sockets().await.map_err(query)?);
    Ok(Info {
        version: env!("CARGO_PKG_VERSION"),
        node: hub.bus().node().to_string(),
        project: app.project_id().clone(),
        sockets,
        users: app.online_user_count().await.map_err(query)?,
        degraded: hub.bus().is_degraded(),
        stopping: app.is_stopping(),
        draining: app.is_draining(),
        as_of_ms: now_ms(),
    })
}
