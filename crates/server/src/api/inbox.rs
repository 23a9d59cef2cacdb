//! `GET /api/v1/inbox/{user}`: the stored messages of a user.

use std::sync::Arc;

use serde::Serialize;
use switchboard::backplane::{Inbox, MessageNumber, StoredMessage};
use switchboard::{App, Name, Payload, UserId};
use utoipa::ToSchema;

use super::endpoint::Context;
use super::key::now_ms;
use super::page::{list_query, next, page};
use super::problem::Problem;
use super::targets::parse_name;

list_query! {
    /// Which inbox.
    struct InboxQuery {
        /// The user's id.
        #[param(example = "7")]
        user: String,
    }
}

/// A page of stored messages, the oldest first.
#[derive(Serialize, ToSchema)]
pub(super) struct InboxPage {
    /// The messages that no client of the user has acknowledged.
    messages: Vec<MessageEntry>,
    /// The parameter `after` of the next page. Left out on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<String>,
    /// When the inbox answered, in ms since 1970.
    as_of_ms: u64,
}

/// A stored message.
#[derive(Serialize, ToSchema)]
pub(super) struct MessageEntry {
    /// Its number, which increases. Text, because it exceeds the whole numbers of a JavaScript number.
    #[schema(example = "1887436800000000001")]
    number: String,
    /// The event's name.
    #[schema(value_type = String)]
    event: Name,
    /// The data, any JSON.
    #[schema(value_type = Value)]
    data: Payload,
    /// When it was sent, in ms since 1970.
    sent_at_ms: u64,
}

impl From<StoredMessage> for MessageEntry {
    fn from(StoredMessage { number, event }: StoredMessage) -> Self {
        MessageEntry {
            number: number.to_string(),
            event: event.name,
            data: event.data,
            sent_at_ms: event.time_ms,
        }
    }
}

/// Lists the stored messages of a user, without delivering or removing them.
#[utoipa::path(
    get,
    path = "/api/v1/inbox/{user}",
    params(InboxQuery),
    responses((status = 200, description = "The messages", body = InboxPage))
)]
pub(super) async fn endpoint(context: Context, inbox: InboxQuery) -> Result<InboxPage, Problem> {
    let InboxQuery { user, after, limit, project } = inbox;
    let app = context.project(project.as_deref())?;
    let user: UserId = parse_name("user", &user)?;
    let page = page::<u64>(after, limit)?;
    let after = page.after.map(MessageNumber);
    let messages = inbox_of(&app)?.peek(app.project_id(), &user, after, page.limit).await;
    let messages = messages.map_err(|_| Problem::unavailable())?;
    let next = next(&messages, limit, |message| message.number);
    Ok(InboxPage {
        messages: messages.into_iter().map(MessageEntry::from).collect(),
        next,
        as_of_ms: now_ms(),
    })
}

/// The inbox of the server.
pub(super) fn inbox_of(app: &App) -> Result<&Arc<dyn Inbox>, Problem> {
    let hint = "the inbox of this server is off; inbox.enabled=true switches it on";
    app.inbox().ok_or_else(|| Problem::invalid(hint))
}
