//! Sending to many: who, how, and then what.

use serde::Serialize;
use switchboard_event::{
    Audience, AudienceError, DeliveryClass, Event, IntoAudience, Name, NameError, Parcel, Payload,
    PayloadError, SocketId, Target,
};
use switchboard_hub::Scope;

use crate::api::app::App;
use crate::node::clock::now_ms;

/// Why an event was not sent.
///
/// ```
/// # use switchboard::{App, EmitError};
/// # let app = App::new();
/// let typo = app.to("lobby").emit("said", "hi"); // neither `#lobby` nor `*lobby`
/// assert!(matches!(typo, Err(EmitError::Audience(_))));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmitError {
    /// It does not say who hears it.
    #[error(transparent)]
    Audience(#[from] AudienceError),
    /// Its name is empty or too long.
    #[error(transparent)]
    Name(#[from] NameError),
    /// JSON cannot hold its data.
    #[error("the data cannot be JSON")]
    Data(#[from] PayloadError),
    /// The socket has closed.
    #[error("the socket has closed")]
    Gone,
}

/// A send that is being put together; [`emit`](Self::emit) sends it.
///
/// ```no_run
/// # use serde_json::json;
/// # fn example(app: switchboard::App, socket: switchboard::Socket) -> Result<(), switchboard::EmitError> {
/// app.to("#lobby").emit("announcement", &json!({ "text": "five minutes" }))?;
/// // To the room and to all with the tag, each once, but not to the sender and not to the muted:
/// socket.to("#lobby").and("*admin").except("*muted").emit("said", &json!({ "text": "hi" }))?;
/// // A position that is stale in a moment: a slow receiver misses it instead of being closed.
/// socket.to("#game").volatile().emit("moved", &json!([3, 4]))?;
/// # Ok(()) }
/// ```
#[must_use = "nothing is sent until `emit`"]
pub struct Send {
    app: App,
    audience: Result<Audience, AudienceError>,
    sender: Option<SocketId>,
    including_self: bool,
    class: DeliveryClass,
    scope: Scope,
}

impl Send {
    pub(crate) fn new(app: App, audience: impl IntoAudience, sender: Option<SocketId>) -> Self {
        Send {
            app,
            audience: audience.into_audience(),
            sender,
            including_self: false,
            class: DeliveryClass::default(),
            scope: Scope::default(),
        }
    }

    /// These hear it too.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, streams) = (switchboard::App::new(), [0; 2].map(|_| tokio::io::duplex(1024)));
    /// # let _peers = streams.map(|(peer, stream)| { app.connect_stream(stream); peer });
    /// # let ids = app.all_socket_ids().await?;
    /// # let [ann, bob] = [0, 1].map(|n| app.socket(ids[n]).unwrap());
    /// ann.join("#lobby")?;
    /// bob.tag("*admin")?;
    /// assert_eq!(app.to("#lobby").and("*admin").emit("news", "hi")?, 2);
    /// # Ok(()) }
    /// ```
    pub fn and(mut self, audience: impl IntoAudience) -> Self {
        self.extend(audience, |whole, more| {
            whole.to.extend(more.to);
            whole.except.extend(more.except);
        });
        self
    }

    /// These do not hear it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, streams) = (switchboard::App::new(), [0; 2].map(|_| tokio::io::duplex(1024)));
    /// # let _peers = streams.map(|(peer, stream)| { app.connect_stream(stream); peer });
    /// # let ids = app.all_socket_ids().await?;
    /// # let [ann, bob] = [0, 1].map(|n| app.socket(ids[n]).unwrap());
    /// # use switchboard::Target;
    /// ann.login("ann")?;
    /// bob.tag("*muted")?;
    /// assert_eq!(app.to(Target::Everyone).except("*muted").emit("said", "hi")?, 1);
    /// app.to("#lobby").except(Target::user("ann")?).emit("said", "hi")?;
    /// # Ok(()) }
    /// ```
    pub fn except(mut self, audience: impl IntoAudience) -> Self {
        self.extend(audience, |whole, less| whole.except.extend(less.to));
        self
    }

    fn extend(&mut self, audience: impl IntoAudience, join: impl FnOnce(&mut Audience, Audience)) {
        match (&mut self.audience, audience.into_audience()) {
            (Ok(whole), Ok(part)) => join(whole, part),
            (Ok(_), Err(error)) => self.audience = Err(error),
            (Err(_), _) => {}
        }
    }

    /// The sender hears it as well, if it is in the audience.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, streams) = (switchboard::App::new(), [0; 2].map(|_| tokio::io::duplex(1024)));
    /// # let _peers = streams.map(|(peer, stream)| { app.connect_stream(stream); peer });
    /// # let ids = app.all_socket_ids().await?;
    /// # let [ann, bob] = [0, 1].map(|n| app.socket(ids[n]).unwrap());
    /// ann.join("#lobby")?;
    /// bob.join("#lobby")?;
    /// assert_eq!(ann.to("#lobby").emit("said", "hi")?, 1);
    /// assert_eq!(ann.to("#lobby").including_self().emit("said", "hi")?, 2);
    /// # Ok(()) }
    /// ```
    pub fn including_self(mut self) -> Self {
        self.including_self = true;
        self
    }

    /// A receiver that is slow misses it; otherwise such a receiver is closed with 1013.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// socket.join("#game")?;
    /// app.to("#game").volatile().emit("moved", &[3, 4])?;
    /// # Ok(()) }
    /// ```
    pub fn volatile(mut self) -> Self {
        self.class = DeliveryClass::Volatile;
        self
    }

    /// Only sockets of this node hear it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// # use switchboard::Target;
    /// app.to(Target::Everyone).local().emit("news", "this node restarts")?;
    /// # Ok(()) }
    /// ```
    pub fn local(mut self) -> Self {
        self.scope = Scope::ThisNode;
        self
    }

    /// From where, to whom and by whom.
    pub(crate) fn into_parts(self) -> (App, Result<Audience, AudienceError>, Option<SocketId>) {
        (self.app, self.audience, self.sender)
    }

    /// Sends. Returns how many sockets of this node have it queued.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// # use serde_json::json;
    /// socket.join("#lobby")?;
    /// let heard_by = app.to("#lobby").emit("said", &json!({ "text": "hi" }))?;
    /// assert_eq!(heard_by, 1);
    /// # Ok(()) }
    /// ```
    pub fn emit<T: Serialize + ?Sized>(self, event: &str, data: &T) -> Result<usize, EmitError> {
        let payload = Payload::of(data)?;
        self.emit_payload(event, payload)
    }

    /// Sends JSON as it is, such as what came in: it is not parsed.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # use switchboard::{App, Payload, Reply, ReplyError, Socket};
    /// async fn forward(socket: Socket, data: Payload) -> Result<Reply<usize>, ReplyError> {
    ///     Ok(Reply(socket.to("#lobby").emit_payload("said", data)?))
    /// }
    /// # let app = App::new().on("/forward", forward);
    /// # let server = switchboard_testkit::TestServer::start(app).await;
    /// # let mut peer = server.peer().await;
    /// # assert_eq!(peer.request("/forward", serde_json::json!({ "text": "hi" })).await, 0);
    /// # }
    /// ```
    pub fn emit_payload(self, event: &str, data: Payload) -> Result<usize, EmitError> {
        let mut audience = self.audience?;
        if let (Some(sender), false) = (self.sender, self.including_self) {
            audience.except.push(Target::Socket(sender));
        }
        let event = Event { name: Name::new(event)?, data, sender: self.sender, time_ms: now_ms() };
        let parcel = Parcel::new(event, self.class);
        let delivered = self.app.hub().send(self.app.project_id(), &audience, &parcel, self.scope);
        self.app.tell_sent(&parcel.event, &audience.to, &audience.except, false);
        Ok(delivered.queued)
    }
}
