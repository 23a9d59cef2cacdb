//! Dispatching: to whom, live or waiting, to our nodes or to originals.

use std::collections::HashSet;
use std::time::{SystemTime, UNIX_EPOCH};

use switchboard_backplane::{Content, Publication};
use switchboard_event::{
    Audience, DeliveryClass, Event, IntoAudience, Name, NameError, ProjectId, Target, UserId,
};
use switchboard_redis::{Backend, ForOriginals};

use crate::message::DISCONNECT;
use crate::{ConnectError, DispatchError, DispatcherOptions, Message};

/// The id that stands for everyone.
const EVERYONE: &str = "*";

/// The close code of an ordinary end.
const NORMAL: u16 = 1000;

/// Sends from a process that is no node. To be made once and shared; dropping it closes its connection.
pub struct Dispatcher {
    backend: Backend,
    project: ProjectId,
    namespace: Option<String>,
    sync: bool,
    originals: bool,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Dispatched {
    /// In how many inboxes it waits until it has arrived; none if it was not to wait. Those who are
    /// connected hear it either way.
    pub inboxes: Option<usize>,
    /// How many older messages gave way to it.
    pub displaced: usize,
}

impl Dispatcher {
    /// Connects to one Redis, everything as by default. A connection that is lost is made again.
    pub async fn connect(url: &str) -> Result<Self, ConnectError> {
        Dispatcher::with_options(DispatcherOptions::new(url)).await
    }

    /// Connects.
    pub async fn with_options(options: DispatcherOptions) -> Result<Self, ConnectError> {
        let DispatcherOptions { namespace, sync, originals, redis } = options;
        let project =
            Name::new(namespace.as_deref().unwrap_or("default")).map_err(ConnectError::Namespace)?;
        let backend = Backend::connect(redis).await?;
        Ok(Dispatcher { backend, project, namespace, sync, originals })
    }

    /// Sends to users by their ids, or to everyone with `["*"]`. With `sync` it waits for each of them.
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

    /// Sends to users, or to everyone with `["*"]`, except some: the author of what is told, say.
    ///
    /// ```no_run
    /// # async fn example(dispatcher: switchboard_dispatcher::Dispatcher) -> Result<(), Box<dyn std::error::Error>> {
    /// # use serde_json::json;
    /// # use switchboard_dispatcher::Message;
    /// let (members, author) = (["1", "2", "3"], "2");
    /// let said = Message::new(0, &json!({ "content": "Hi", "author": author }), "NEW_MESSAGE")?;
    /// dispatcher.dispatch_except(&said, &members, &[author]).await?;
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

    /// Sends to any audience: rooms, tags, users, sockets, everyone, and any of them except any. It waits
    /// if the options and the message say so and all that are named are users.
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
        let waits = self.sync && message.sync;
        if self.originals {
            let users = for_originals(&audience)?;
            let kept = self.tell_originals(&message.to_json(), &users, waits).await?;
            let can_wait = waits && !users.contains(&EVERYONE);
            return Ok(Dispatched { inboxes: can_wait.then_some(kept), displaced: 0 });
        }
        let event =
            Event { name: message.name.clone(), data: message.data.clone(), sender: None, time_ms: now_ms() };
        if waits && let Some(users) = users_of(&audience) {
            let kept = self.backend.keep(&self.project, &users, &event).await?;
            return Ok(Dispatched { inboxes: Some(kept.inboxes), displaced: kept.evicted });
        }
        self.publish(audience, Content::Event { event, class: DeliveryClass::Live }).await?;
        Ok(Dispatched::default())
    }

    /// Closes all sockets of users with 1000, each behind what is queued for it; of everyone with
    /// `["*"]`. What Mesa calls `DISCONNECT_CLIENT`.
    #[doc(alias = "DispatchEvent")]
    pub async fn disconnect(&self, users: &[impl AsRef<str>]) -> Result<(), DispatchError> {
        self.close_sockets(audience_of(users, &[] as &[&str])?, NORMAL, "").await
    }

    /// Closes the sockets of any audience, each behind what is queued for it. A code that no server may
    /// send closes without one, and a reason is cut after 123 bytes. Original servers close users and
    /// everyone, with 1000 and no reason.
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
        if !self.originals {
            return self.publish(audience, Content::Close { code, reason: reason.into() }).await;
        }
        match (code, reason) {
            (NORMAL, "") => {
                self.tell_originals(DISCONNECT, &for_originals(&audience)?, false).await.map(drop)
            }
            _ => Err(DispatchError::OriginalsClose),
        }
    }

    /// Whether there is a connection to Redis now.
    pub fn is_up(&self) -> bool {
        self.backend.is_up()
    }

    async fn publish(&self, audience: Audience, content: Content) -> Result<(), DispatchError> {
        let publication = Publication { project: self.project.clone(), audience, content };
        Ok(self.backend.publish(&publication).await?)
    }

    async fn tell_originals(
        &self,
        message: &str,
        users: &[&str],
        waits: bool,
    ) -> Result<usize, DispatchError> {
        let namespace = self.namespace.as_deref();
        Ok(self.backend.tell_originals(&ForOriginals { namespace, message, users, waits }).await?)
    }
}

fn audience_of(recipients: &[impl AsRef<str>], excluding: &[impl AsRef<str>]) -> Result<Audience, NameError> {
    // As the original has it: beside everyone, nobody else matters.
    let to = match recipients.iter().any(|id| id.as_ref() == EVERYONE) {
        true => vec![Target::Everyone],
        false => recipients.iter().map(|id| Target::user(id.as_ref())).collect::<Result<_, _>>()?,
    };
    let except = excluding.iter().map(|id| Target::user(id.as_ref())).collect::<Result<_, _>>()?;
    Ok(Audience { to, except })
}

/// The users of an audience that names nobody else, without its exceptions.
fn users_of(audience: &Audience) -> Option<Vec<UserId>> {
    let all = |targets: &[Target]| -> Option<Vec<UserId>> {
        let user = |target: &Target| match target {
            Target::User(user) => Some(user.clone()),
            _ => None,
        };
        targets.iter().map(user).collect()
    };
    let except: HashSet<UserId> = all(&audience.except)?.into_iter().collect();
    let mut users = all(&audience.to)?;
    users.retain(|user| !except.contains(user));
    Some(users)
}

/// The recipients as originals name them.
fn for_originals(audience: &Audience) -> Result<Vec<&str>, DispatchError> {
    let mut users = Vec::with_capacity(audience.to.len());
    let mut done: HashSet<&Target> = audience.except.iter().collect();
    let is_for_everyone = audience.to.contains(&Target::Everyone);
    if let Some(target) =
        audience.except.iter().find(|target| is_for_everyone || !matches!(target, Target::User(_)))
    {
        return Err(DispatchError::Originals(target.clone()));
    }
    for target in &audience.to {
        match target {
            Target::Everyone => return Ok(vec![EVERYONE]),
            Target::User(user) if done.insert(target) => users.push(&**user),
            Target::User(_) => {}
            other => return Err(DispatchError::Originals(other.clone())),
        }
    }
    Ok(users)
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
