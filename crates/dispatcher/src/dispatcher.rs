//! The dispatcher: sends to Switchboard nodes or original Mesa servers, live or through inboxes.

use std::collections::HashSet;
use std::time::SystemTime;

use switchboard_backplane::{Content, Publication};
use switchboard_event::{Audience, Event, IntoAudience, NameError, ProjectId, Target, UserId};
use switchboard_redis::{LegacyMessage, Publisher};

use crate::error::{ConnectError, DispatchError};
use crate::message::{DISCONNECT, Message};
use crate::options::DispatcherOptions;

/// The recipient id for everyone.
const EVERYONE: &str = "*";

/// The close code for a normal closure (RFC 6455).
const NORMAL: u16 = 1000;

/// Sends messages from a process that is not a node. Create it once and share it. Dropping it closes its
/// connection.
pub struct Dispatcher {
    publisher: Publisher,
    project: ProjectId,
    namespace: Option<String>,
    sync: bool,
    legacy: bool,
}

/// The result of a dispatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Dispatched {
    /// In how many inboxes the message was stored, or `None` if it was not to be stored. Connected users receive
    /// the message in both cases.
    pub inboxes: Option<usize>,
    /// How many older messages were evicted from these inboxes.
    pub evicted: usize,
}

impl Dispatcher {
    /// Connects to one Redis server with default options. Lost connections are re-established.
    pub async fn connect(url: &str) -> Result<Self, ConnectError> {
        Dispatcher::with_options(DispatcherOptions::new(url)).await
    }

    /// Connects with other options.
    pub async fn with_options(options: DispatcherOptions) -> Result<Self, ConnectError> {
        let DispatcherOptions { namespace, sync, legacy, redis } = options;
        let project =
            ProjectId::new(namespace.as_deref().unwrap_or("default")).map_err(ConnectError::Namespace)?;
        let publisher = Publisher::connect(redis).await?;
        Ok(Dispatcher { publisher, project, namespace, sync, legacy })
    }

    /// Sends to users by their ids, or to everyone with `["*"]`. With `sync`, the message is stored in the inboxes of
    /// the users.
    ///
    /// ```no_run
    /// # async fn example(dispatcher: switchboard_dispatcher::Dispatcher) -> Result<(), Box<dyn std::error::Error>> {
    /// # use serde_json::json;
    /// # use switchboard_dispatcher::Message;
    /// let alert = Message::new(0, &json!({ "content": "Hello World" }), "GLOBAL_ALERT")?;
    /// dispatcher.dispatch(&alert, &["*"]).await?;
    /// # Ok(()) }
    /// ```
    pub async fn dispatch(
        &self,
        message: &Message,
        recipients: &[impl AsRef<str>],
    ) -> Result<Dispatched, DispatchError> {
        self.dispatch_except(message, recipients, &[] as &[&str]).await
    }

    /// Sends to users, or to everyone with `["*"]`, except some users, such as the author of a message.
    ///
    /// ```no_run
    /// # async fn example(dispatcher: switchboard_dispatcher::Dispatcher) -> Result<(), Box<dyn std::error::Error>> {
    /// # use serde_json::json;
    /// # use switchboard_dispatcher::Message;
    /// let (members, author) = (["1", "2", "3"], "2");
    /// let message = Message::new(0, &json!({ "content": "Hi", "author": author }), "NEW_MESSAGE")?;
    /// dispatcher.dispatch_except(&message, &members, &[author]).await?;
    /// # Ok(()) }
    /// ```
    pub async fn dispatch_except(
        &self,
        message: &Message,
        recipients: &[impl AsRef<str>],
        excluding: &[impl AsRef<str>],
    ) -> Result<Dispatched, DispatchError> {
        self.send(message, audience_of(recipients, excluding)?).await
    }

    /// Sends to any audience: rooms, tags, users, sockets, or everyone, with any exclusions. The message is stored in
    /// inboxes if the options and the message enable `sync` and the audience consists of users.
    ///
    /// ```no_run
    /// # async fn example(dispatcher: switchboard_dispatcher::Dispatcher) -> Result<(), Box<dyn std::error::Error>> {
    /// # use switchboard_dispatcher::{Audience, Message, Target};
    /// let news = Message::new(0, "We are open.", "NEWS")?;
    /// dispatcher.send(&news, ["#lobby", "*staff"]).await?;
    /// dispatcher.send(&news, Audience::everyone().except(Target::user("7")?)).await?;
    /// # Ok(()) }
    /// ```
    pub async fn send(
        &self,
        message: &Message,
        audience: impl IntoAudience,
    ) -> Result<Dispatched, DispatchError> {
        let audience = audience.into_audience()?;
        let sync = self.sync && message.sync;
        if self.legacy {
            let to = legacy_audience(&audience)?;
            let inboxes = self.send_legacy(&message.to_json(), &to, sync).await?;
            let is_stored = sync && !to.users.contains(&EVERYONE);
            return Ok(Dispatched { inboxes: is_stored.then_some(inboxes), evicted: 0 });
        }
        let Message { name, data, trace, .. } = message.clone();
        let event = Event { name, data, sender: None, time_ms: now_ms(), trace };
        if sync && let Some(users) = users_of(&audience) {
            let stored = self.publisher.store(&self.project, &users, &event).await?;
            return Ok(Dispatched { inboxes: Some(stored.inboxes), evicted: stored.evicted });
        }
        let policy = message.policy.clone();
        self.publish(audience, Content::Event { event, policy, position: None }).await?;
        Ok(Dispatched::default())
    }

    /// Closes all sockets of users with code 1000, or of everyone with `["*"]`. Each socket first sends its queued
    /// messages. Mesa calls this `DISCONNECT_CLIENT`.
    #[doc(alias = "DispatchEvent")]
    pub async fn disconnect(&self, users: &[impl AsRef<str>]) -> Result<(), DispatchError> {
        self.close_sockets(audience_of(users, &[] as &[&str])?, NORMAL, "").await
    }

    /// Closes the sockets of any audience. Each socket first sends its queued messages. A code that servers may not
    /// send is left out, and the reason is truncated to 123 bytes. Original servers only close users or everyone, with
    /// code 1000 and no reason, and ignore exclusions from everyone.
    ///
    /// ```no_run
    /// # async fn example(dispatcher: switchboard_dispatcher::Dispatcher) -> Result<(), Box<dyn std::error::Error>> {
    /// dispatcher.close_sockets(["#lobby", "*guest"], 4003, "members only").await?;
    /// # Ok(()) }
    /// ```
    pub async fn close_sockets(
        &self,
        audience: impl IntoAudience,
        code: u16,
        reason: &str,
    ) -> Result<(), DispatchError> {
        let audience = audience.into_audience()?;
        if !self.legacy {
            return self.publish(audience, Content::Close { code, reason: reason.into() }).await;
        }
        match (code, reason) {
            (NORMAL, "") => self.send_legacy(DISCONNECT, &legacy_audience(&audience)?, false).await.map(drop),
            _ => Err(DispatchError::LegacyClose),
        }
    }

    /// Whether the dispatcher is connected to Redis.
    pub fn is_up(&self) -> bool {
        self.publisher.is_up()
    }

    async fn publish(&self, audience: Audience, content: Content) -> Result<(), DispatchError> {
        let publication = Publication { project: self.project.clone(), audience, content };
        Ok(self.publisher.publish(&publication).await?)
    }

    /// Returns the number of inboxes in which the message was stored.
    async fn send_legacy(
        &self,
        message: &str,
        LegacyAudience { users, excluding }: &LegacyAudience<'_>,
        sync: bool,
    ) -> Result<usize, DispatchError> {
        let namespace = self.namespace.as_deref();
        let message = LegacyMessage { namespace, message, users, excluding, store: sync };
        Ok(self.publisher.dispatch_to_legacy(&message).await?)
    }
}

/// An audience in the format of original servers.
struct LegacyAudience<'a> {
    /// Users without duplicates, or `*`.
    users: Vec<&'a str>,
    /// The users excluded from `*`, which only Switchboard nodes apply.
    excluding: Vec<&'a str>,
}

fn audience_of(recipients: &[impl AsRef<str>], excluding: &[impl AsRef<str>]) -> Result<Audience, NameError> {
    // As in the original implementation, `*` overrides all other recipients.
    let to = match recipients.iter().any(|id| id.as_ref() == EVERYONE) {
        true => vec![Target::Everyone],
        false => recipients.iter().map(|id| Target::user(id.as_ref())).collect::<Result<_, _>>()?,
    };
    let except = excluding.iter().map(|id| Target::user(id.as_ref())).collect::<Result<_, _>>()?;
    Ok(Audience { to, except })
}

/// The users of an audience without the excluded ones, or `None` if it has other targets.
fn users_of(audience: &Audience) -> Option<Vec<UserId>> {
    let all_users = |targets: &[Target]| -> Option<Vec<UserId>> {
        let user = |target: &Target| match target {
            Target::User(user) => Some(user.clone()),
            _ => None,
        };
        targets.iter().map(user).collect()
    };
    let except: HashSet<UserId> = all_users(&audience.except)?.into_iter().collect();
    let mut users = all_users(&audience.to)?;
    users.retain(|user| !except.contains(user));
    Some(users)
}

/// Converts an audience of users, or of everyone, which may exclude users.
fn legacy_audience(audience: &Audience) -> Result<LegacyAudience<'_>, DispatchError> {
    let excluding = audience.except.iter().map(legacy_user).collect::<Result<Vec<&str>, _>>()?;
    if audience.to.contains(&Target::Everyone) {
        return Ok(LegacyAudience { users: vec![EVERYONE], excluding });
    }
    let mut users = audience.to.iter().map(legacy_user).collect::<Result<Vec<&str>, _>>()?;
    let mut seen: HashSet<&str> = excluding.into_iter().collect();
    users.retain(|user| seen.insert(user));
    Ok(LegacyAudience { users, excluding: Vec::new() })
}

fn legacy_user(target: &Target) -> Result<&str, DispatchError> {
    match target {
        Target::User(user) => Ok(user),
        other => Err(DispatchError::LegacyTarget(other.clone())),
    }
}

fn now_ms() -> u64 {
    switchboard_event::unix_ms(SystemTime::now())
}
