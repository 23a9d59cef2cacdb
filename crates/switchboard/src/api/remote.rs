//! What an app does to sockets wherever they are: directly to those of this node, and through
//! their nodes to others.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use switchboard_backplane::{Content, PublishError};
use switchboard_event::{AudienceError, IntoAudience, Name, NameError, Payload, SocketId, Target};
use switchboard_hub::JoinError;

use crate::api::app::App;
use crate::api::emitter::EmitError;
use crate::node::conn::RequestError;
use crate::node::inbox;
use crate::node::remote::{NodeError, Order, Place, Refusal, Wish};

/// How long another node may take to bring a socket in or out: it does so at once, so this is for
/// the way there and back.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Why a socket was not brought into something, or taken out of it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use switchboard::{App, JoinError, ReachError, SocketId};
///
/// # let app = App::new();
/// let nobody = app.sync_tag(SocketId::random(), "*vip").await;
/// assert!(matches!(nobody, Err(ReachError::Join(JoinError::Gone))));
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReachError {
    /// It cannot be: the socket is gone, has too many already, or the name is none.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The socket's node cannot be reached, or did not answer.
    #[error(transparent)]
    Node(#[from] NodeError),
}

impl From<NameError> for ReachError {
    fn from(error: NameError) -> Self {
        ReachError::Join(error.into())
    }
}

/// Why something was not done to sockets of all nodes.
///
/// ```
/// # use switchboard::{App, OrderError};
/// # let app = App::new();
/// let typo = app.disconnect("lobby", 4000, "closing time"); // neither `#lobby` nor `*lobby`
/// assert!(matches!(typo, Err(OrderError::Audience(_))));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OrderError {
    /// It does not say to whom. Nothing was done.
    #[error(transparent)]
    Audience(#[from] AudienceError),
    /// It was done on this node, and other nodes were not told.
    #[error("it was done to {here} sockets of this node alone")]
    Lost {
        /// To how many sockets of this node.
        here: usize,
        /// Why others were not told.
        #[source]
        cause: PublishError,
    },
}

impl From<NameError> for OrderError {
    fn from(error: NameError) -> Self {
        OrderError::Audience(error.into())
    }
}

impl App {
    /// Asks the client of a socket, on whatever node it is, and waits for its answer, at most the
    /// request time-out of the app's limits (10 s). Fails at once when the socket goes, or if its node
    /// dies when that is known: after its lease.
    ///
    /// ```no_run
    /// # async fn example(app: switchboard::App, id: switchboard::SocketId) -> Result<(), switchboard::RequestError> {
    /// let ready: bool = app.request(id, "/ready?", &()).await?;
    /// # Ok(()) }
    /// ```
    pub async fn request<R: DeserializeOwned>(
        &self,
        id: SocketId,
        event: &str,
        data: &(impl Serialize + ?Sized),
    ) -> Result<R, RequestError> {
        self.request_within(self.limits().request_timeout, id, event, data).await
    }

    /// [`request`](Self::request) with a time-out of its own.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # async fn example(app: switchboard::App, id: switchboard::SocketId) -> Result<(), switchboard::RequestError> {
    /// let rolled: u32 = app.request_within(Duration::from_millis(500), id, "/roll", &6).await?;
    /// # Ok(()) }
    /// ```
    pub async fn request_within<R: DeserializeOwned>(
        &self,
        timeout: Duration,
        id: SocketId,
        event: &str,
        data: &(impl Serialize + ?Sized),
    ) -> Result<R, RequestError> {
        let event = Name::new(event).map_err(EmitError::from)?;
        let data = Payload::of(data).map_err(EmitError::from)?;
        let answer = match self.is_elsewhere(id) {
            true => self.ask_elsewhere(timeout, id, &event, &data).await?,
            false => self.socket(id).ok_or(RequestError::Gone)?.ask(timeout, &event, &data).await?,
        };
        answer.to().map_err(RequestError::Decode)
    }

    async fn ask_elsewhere(
        &self,
        timeout: Duration,
        id: SocketId,
        event: &Name,
        data: &Payload,
    ) -> Result<Payload, RequestError> {
        // Rounded up, so that the client has all the time that its asker has.
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        let wish = Wish::Ask { event: event.to_string(), data, timeout_ms };
        match self.call(id, wish, timeout).await {
            Ok(outcome) => outcome.map_err(|refusal| match refusal {
                Refusal::Gone => RequestError::Gone,
                Refusal::Timeout => RequestError::Timeout(timeout),
                Refusal::CannotReply => RequestError::CannotReply,
                Refusal::TooMany { max } => RequestError::TooMany { max },
            }),
            Err(NodeError::Silent(_)) => Err(RequestError::Timeout(timeout)),
            Err(error) => Err(error.into()),
        }
    }

    /// Closes the sockets of an audience on all nodes, each behind everything that is queued for it;
    /// code and reason are as for [`Socket::close`](crate::Socket::close). Returns how many it closes
    /// on this node.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// # use switchboard::Target;
    /// socket.login("ann")?;
    /// assert_eq!(app.disconnect(Target::user("ann")?, 4003, "banned")?, 1);
    /// assert!(socket.is_closed());
    /// # Ok(()) }
    /// ```
    pub fn disconnect(
        &self,
        audience: impl IntoAudience,
        code: u16,
        reason: &str,
    ) -> Result<usize, OrderError> {
        let audience = audience.into_audience()?;
        let closed = self.close_here(&audience, code, reason);
        let content = Content::Close { code, reason: reason.into() };
        let told = self.hub().publish(self.project_id(), &audience, content);
        told.map(|()| closed).map_err(|cause| OrderError::Lost { here: closed, cause })
    }

    /// Takes a user's sockets on all nodes away from them; they stay connected. Returns how many it
    /// were on this node.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// socket.login("ann")?;
    /// assert_eq!(app.set_user_offline("ann").await?, 1);
    /// assert!(!app.is_user_online("ann").await?);
    /// # Ok(()) }
    /// ```
    pub async fn set_user_offline(&self, user: &str) -> Result<usize, OrderError> {
        let audience = Target::user(user)?.into();
        let taken = self.obey(&audience, &Order::Clear);
        let told = self.order(&audience, Order::Clear);
        told.map(|()| taken).map_err(|cause| OrderError::Lost { here: taken, cause })
    }

    /// Waits until everything that sockets of this node have come into by now is heard here from all
    /// nodes. At once on a node alone, and while there is no connection to the others.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// socket.join("#lobby")?;
    /// app.settled().await; // what any node sends to the lobby from now on reaches the socket
    /// # Ok(()) }
    /// ```
    pub async fn settled(&self) {
        self.hub().bus().settled().await;
        // Large sends to users go where the store says they are.
        self.hub().store().settled().await;
    }

    /// Brings a socket of any node into something. False if it was in.
    pub(crate) async fn enter(&self, id: SocketId, target: &Target) -> Result<bool, ReachError> {
        match self.is_elsewhere(id) {
            true => self.change_elsewhere(id, target, Wish::Join).await,
            false => Ok(self.enter_here(id, target)?),
        }
    }

    /// Takes a socket of any node out of something. False if it was not in.
    pub(crate) async fn exit(&self, id: SocketId, target: &Target) -> Result<bool, ReachError> {
        match self.is_elsewhere(id) {
            true => self.change_elsewhere(id, target, Wish::Leave).await,
            false => Ok(self.exit_here(id, target)),
        }
    }

    pub(crate) fn enter_here(&self, id: SocketId, target: &Target) -> Result<bool, JoinError> {
        let socket = self.socket(id).ok_or(JoinError::Gone)?;
        match target {
            Target::User(user) => inbox::enter(&socket, user),
            _ => self.hub().join(socket.session(), target),
        }
    }

    pub(crate) fn exit_here(&self, id: SocketId, target: &Target) -> bool {
        self.socket(id).is_some_and(|socket| match target {
            Target::User(user) => inbox::leave(self, socket.session(), user),
            _ => self.hub().leave(socket.session(), target),
        })
    }

    async fn change_elsewhere<'a>(
        &self,
        id: SocketId,
        target: &Target,
        wish: fn(Place) -> Wish<&'a Payload>,
    ) -> Result<bool, ReachError> {
        let Some(place) = Place::of(target) else { return Ok(false) };
        match self.call(id, wish(place), ANSWER_WITHIN).await? {
            Ok(changed) => Ok(changed.to().unwrap_or(false)),
            Err(Refusal::TooMany { max }) => Err(JoinError::TooMany { max }.into()),
            Err(_) => Err(JoinError::Gone.into()),
        }
    }

    /// Whether only another node can know the socket.
    fn is_elsewhere(&self, id: SocketId) -> bool {
        !self.is_alone() && id.node() != self.hub().bus().node()
    }
}
