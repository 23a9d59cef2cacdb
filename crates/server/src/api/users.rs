//! `GET /api/v1/users`: the users that are online.

use serde::Serialize;
use switchboard::UserId;
use utoipa::ToSchema;

use super::endpoint::Context;
use super::key::now_ms;
use super::page::{list_query, next, page};
use super::problem::{Problem, query};

list_query! {
    /// Which users.
    struct Users {}
}

/// A page of users in ascending order.
#[derive(Serialize, ToSchema)]
pub(super) struct UserPage {
    /// The users.
    #[schema(value_type = Vec<String>)]
    users: Vec<UserId>,
    /// Number of online users of the project.
    online: usize,
    /// The parameter `after` of the next page. Left out on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<String>,
    /// When the store answered, in ms since 1970.
    as_of_ms: u64,
}

/// Lists the users that have a socket on any node. Users without one are not known.
#[utoipa::path(
    get,
    path = "/api/v1/users",
    params(Users),
    responses((status = 200, description = "The users", body = UserPage))
)]
pub(super) async fn endpoint(context: Context, users: Users) -> Result<UserPage, Problem> {
    let Users { after, limit, project } = users;
    let app = context.project(project.as_deref())?;
    let users = app.online_users_page(page(after, limit)?).await.map_err(query)?;
    let online = app.online_user_count().await.map_err(query)?;
    let next = next(&users, limit, |user| user.clone());
    Ok(UserPage { users, online, next, as_of_ms: now_ms() })
}
