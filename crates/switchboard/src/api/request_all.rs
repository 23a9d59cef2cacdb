//! Requests to all clients of an audience, with their replies as they arrive.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt};
use serde::Serialize;
use switchboard_backplane::{BackplaneError, Page};
use switchboard_event::{Audience, AudienceError, IntoAudience, Name, Payload, SocketId, Target};
use tokio::time::Instant;

use crate::api::app::App;
use crate::node::errors::{EmitError, RequestError};
use crate::node::remote;

/// Most sockets of one call. The store returns their ids, and each of them is a request of its own.
const SOCKETS_MAX: usize = 10_000;

/// Requests of one call that are unanswered at the same time, so that calls to other nodes stay below
/// [`Limits::remote_calls_pending_max`](crate::Limits::remote_calls_pending_max).
const IN_FLIGHT_MAX: usize = 512;

/// The reply of one socket.
#[derive(Debug)]
pub struct SocketReply {
    /// The socket.
    pub socket: SocketId,
    /// Its reply, or why there is none.
    pub reply: Result<Payload, RequestError>,
}

/// A request to an audience was not sent to any socket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestAllError {
    /// The audience is invalid.
    #[error(transparent)]
    Audience(#[from] AudienceError),
    /// The event's name is invalid or the data cannot be serialized as JSON.
    #[error(transparent)]
    Emit(#[from] EmitError),
    /// The audience is too large.
    #[error("the audience has more than {max} sockets, the maximum")]
    TooMany {
        /// The limit.
        max: usize,
    },
    /// The store did not answer.
    #[error(transparent)]
    Backplane(#[from] BackplaneError),
}

impl App {
    /// Sends a request to every socket of an audience, on all nodes, and returns the replies as they arrive: one for each
    /// socket, or the reason why there is none. All replies arrive within `timeout`.
    ///
    /// # Errors
    /// If the audience is invalid, has more than 10,000 sockets (excluded ones are counted, too), or the store does not answer.
    /// Nothing is sent then.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use futures_util::StreamExt;
    /// # use switchboard::{App, RequestAllError};
    /// # async fn example(app: App) -> Result<(), RequestAllError> {
    /// let mut replies = app.request_each("#game", Duration::from_secs(2), "/vote", &"who is it?").await?;
    /// while let Some(vote) = replies.next().await {
    ///     println!("{}: {:?}", vote.socket, vote.reply);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn request_each(
        &self,
        audience: impl IntoAudience,
        timeout: Duration,
        event: &str,
        data: &(impl Serialize + ?Sized),
    ) -> Result<BoxStream<'static, SocketReply>, RequestAllError> {
        let event = Name::new(event).map_err(EmitError::from)?;
        let data = Payload::of(data).map_err(EmitError::from)?;
        let sockets = self.sockets_of(&audience.into_audience()?).await?;
        let (node, project) = (self.node().clone(), self.project_id().clone());
        let end = Instant::now() + timeout;
        let request = move |socket: SocketId| {
            let (node, project, event, data) = (node.clone(), project.clone(), event.clone(), data.clone());
            async move {
                let left = end.saturating_duration_since(Instant::now());
                let reply = remote::request(&node, &project, socket, left, &event, &data).await;
                let reply = reply.map_err(|error| match error {
                    RequestError::Timeout(_) => RequestError::Timeout(timeout),
                    other => other,
                });
                SocketReply { socket, reply }
            }
        };
        Ok(stream::iter(sockets).map(request).buffer_unordered(IN_FLIGHT_MAX).boxed())
    }

    /// Sends a request to every socket of an audience like [`request_each`](Self::request_each), and returns all replies,
    /// in the order in which they arrived.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use switchboard::{App, RequestAllError};
    /// # async fn example(app: App) -> Result<(), RequestAllError> {
    /// let replies = app.request_all("#game", Duration::from_secs(2), "/ready?", &()).await?;
    /// let ready = replies.iter().filter(|reply| reply.reply.is_ok()).count();
    /// # Ok(()) }
    /// ```
    pub async fn request_all(
        &self,
        audience: impl IntoAudience,
        timeout: Duration,
        event: &str,
        data: &(impl Serialize + ?Sized),
    ) -> Result<Vec<SocketReply>, RequestAllError> {
        Ok(self.request_each(audience, timeout, event, data).await?.collect().await)
    }

    /// The sockets of an audience on all nodes, in ascending order.
    async fn sockets_of(&self, audience: &Audience) -> Result<BTreeSet<SocketId>, RequestAllError> {
        let (store, project) = (self.hub().store(), self.project_id());
        let mut sockets = BTreeSet::new();
        for target in &audience.to {
            match target {
                // Without a query: if there is no such socket, that is its outcome.
                Target::Socket(id) => sockets.extend([*id]),
                target => sockets.extend(store.members(project, target, Page::first(SOCKETS_MAX + 1)).await?),
            }
            if sockets.len() > SOCKETS_MAX {
                return Err(RequestAllError::TooMany { max: SOCKETS_MAX });
            }
        }
        for target in &audience.except {
            match target {
                Target::Socket(id) => sockets.retain(|socket| socket != id),
                target => {
                    for socket in store.members(project, target, Page::all()).await? {
                        sockets.remove(&socket);
                    }
                }
            }
        }
        Ok(sockets)
    }
}
