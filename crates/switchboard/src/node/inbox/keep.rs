//! Sending messages that wait.

use serde::Serialize;
use switchboard_backplane::{StoreError, Stored};
use switchboard_event::{AudienceError, Event, Name, NameError, Payload, PayloadError, Target, UserId};

use crate::api::emitter::Send;
use crate::node::clock::now_ms;

/// Why a message was not kept.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// # use switchboard::{App, KeepError};
/// # let app = App::new();
/// let nowhere = app.to("#lobby").keep("news", "hi").await; // a room is no user
/// assert!(matches!(nowhere, Err(KeepError::NoInbox)));
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeepError {
    /// The app was given nothing to keep it in.
    #[error("no message waits here: the app has no inbox")]
    NoInbox,
    /// Only users have inboxes: all of an audience must be users, and all of its exceptions.
    #[error("a message can wait for users only, not for {0:?}")]
    NotAUser(Target),
    /// It does not say who hears it.
    #[error(transparent)]
    Audience(#[from] AudienceError),
    /// Its name is empty or too long.
    #[error(transparent)]
    Name(#[from] NameError),
    /// JSON cannot hold its data.
    #[error("the data cannot be JSON")]
    Data(#[from] PayloadError),
    /// It is not known to be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Send {
    /// Sends to users and keeps it for each until one of their sockets surely has it: a user who is
    /// away is told at the next login, before anything else. It is delivered at least once; a socket
    /// that closes before it has answered may have got what the next one gets again. Answers when it is
    /// kept.
    ///
    /// ```no_run
    /// # use serde_json::json;
    /// # use switchboard::{App, KeepError, Target};
    /// # async fn example(app: App) -> Result<(), KeepError> {
    /// let kept = app.to([Target::user("7")?, Target::user("8")?]).keep("INVITE", &json!({ "to": "#ops" })).await?;
    /// assert_eq!(kept.inboxes, 2);
    /// # Ok(()) }
    /// ```
    pub async fn keep<T: Serialize + ?Sized>(self, event: &str, data: &T) -> Result<Stored, KeepError> {
        let payload = Payload::of(data)?;
        self.keep_payload(event, payload).await
    }

    /// The same with JSON as it is.
    pub async fn keep_payload(self, event: &str, data: Payload) -> Result<Stored, KeepError> {
        let (app, audience, sender) = self.into_parts();
        let inbox = app.inbox().ok_or(KeepError::NoInbox)?;
        let audience = audience?;
        let except = users_of(&audience.except)?;
        let mut users = users_of(&audience.to)?;
        users.retain(|user| !except.contains(user));
        users.sort_unstable();
        users.dedup();
        let event = Event { name: Name::new(event)?, data, sender, time_ms: now_ms() };
        let kept = inbox.put(app.project_id(), &users, &event).await?;
        app.tell_sent(&event, &audience.to, &audience.except, true);
        app.tell_undeliverable(event, users);
        Ok(kept)
    }
}

fn users_of(targets: &[Target]) -> Result<Vec<UserId>, KeepError> {
    let user = |target: &Target| match target {
        Target::User(user) => Ok(user.clone()),
        other => Err(KeepError::NotAUser(other.clone())),
    };
    targets.iter().map(user).collect()
}
