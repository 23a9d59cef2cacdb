//! `GET /api/v1/users/{user}`: whether a user is online, and the user's sockets.

use serde::Serialize;
use switchboard::{Target, UserId};
use utoipa::ToSchema;

use super::endpoint::Context;
use super::page::list_query;
use super::problem::Problem;
use super::sockets::{SocketPage, list};
use super::targets::parse_name;

list_query! {
    /// Which user.
    struct UserQuery {
        /// The user's id.
        #[param(example = "7")]
        user: String,
    }
}

/// A user and a page of the user's sockets.
#[derive(Serialize, ToSchema)]
pub(super) struct UserState {
    /// The user's id.
    #[schema(value_type = String)]
    user: UserId,
    /// True if the user has a socket on any node.
    online: bool,
    #[serde(flatten)]
    page: SocketPage,
}

/// Returns whether a user is online, and the user's sockets on all nodes.
#[utoipa::path(
    get,
    path = "/api/v1/users/{user}",
    params(UserQuery),
    responses((status = 200, description = "The user", body = UserState))
)]
pub(super) async fn endpoint(context: Context, user: UserQuery) -> Result<UserState, Problem> {
    let UserQuery { user, after, limit, project } = user;
    let app = context.project(project.as_deref())?;
    let user: UserId = parse_name("user", &user)?;
    let is_first = after.is_none();
    let page = list(&app, &Target::User(user.clone()), after, limit).await?;
    Ok(UserState { user, online: !is_first || !page.is_empty(), page })
}
