//! Sending events and requests, from the handle of a socket.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use switchboard_event::{Event, IntoAudience, Name, OverflowPolicy, Payload, Target};
use switchboard_ws::frame::{OpCode, encode};

use crate::api::emitter::Emitter;
use crate::api::socket::Socket;
use crate::node::clock::now_ms;
use crate::node::errors::{EmitError, RequestError};
use crate::node::requests;
use crate::node::send_hooks::notify_sent;

impl Socket {
    /// Sends an event to this socket.
    ///
    /// # Errors
    /// If the socket has closed, the event's name is invalid or reserved, or the data cannot be serialized as JSON.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// # use serde_json::json;
    /// socket.emit("moved", &json!({ "x": 3, "y": 4 }))?;
    /// socket.emit("welcome", "to the lobby")?;
    /// # Ok(()) }
    /// ```
    pub fn emit<T: Serialize + ?Sized>(&self, event: &str, data: &T) -> Result<(), EmitError> {
        let event = Event {
            name: Name::new(event)?,
            data: Payload::of(data)?,
            sender: None,
            time_ms: now_ms(),
            trace: None,
        };
        let frame = (self.node().encoders().event)(self.session.protocol, &event, None);
        let frame = frame.ok_or_else(|| EmitError::Reserved(event.name.clone()))?;
        if !self.node().hub().deliver_frame(&self.session, &frame, OverflowPolicy::Live) {
            return Err(EmitError::Closed);
        }
        notify_sent(self.node(), self.app.project_id(), &event, &[self.id().into()], &[], false);
        Ok(())
    }

    /// Sends a request to this socket and returns its reply. Waits at most
    /// [`Limits::request_timeout`](crate::Limits::request_timeout), by default 10 s.
    ///
    /// # Errors
    /// Fails immediately if the socket closes or its protocol has no replies.
    ///
    /// ```no_run
    /// # async fn example(socket: switchboard::Socket) -> Result<(), switchboard::RequestError> {
    /// let ready: bool = socket.request("/ready?", &()).await?;
    /// # Ok(()) }
    /// ```
    pub async fn request<R: DeserializeOwned>(
        &self,
        event: &str,
        data: &(impl Serialize + ?Sized),
    ) -> Result<R, RequestError> {
        self.request_within(self.app.limits().request_timeout, event, data).await
    }

    /// Sends a request like [`request`](Self::request), with another time-out.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # async fn example(socket: switchboard::Socket) -> Result<(), switchboard::RequestError> {
    /// let rolled: u32 = socket.request_within(Duration::from_millis(500), "/roll", &6).await?;
    /// # Ok(()) }
    /// ```
    pub async fn request_within<R: DeserializeOwned>(
        &self,
        timeout: Duration,
        event: &str,
        data: &(impl Serialize + ?Sized),
    ) -> Result<R, RequestError> {
        let name = Name::new(event).map_err(EmitError::from)?;
        let data = Payload::of(data).map_err(EmitError::from)?;
        let reply = requests::request(self.node(), &self.session, timeout, &name, &data).await?;
        reply.to().map_err(RequestError::Decode)
    }

    /// Starts a message to a room, a tag or any audience, which excludes this socket;
    /// [`Emitter::emit`] sends it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, streams) = (switchboard::App::new(), [0; 2].map(|_| tokio::io::duplex(1024)));
    /// # let _peers = streams.map(|(peer, stream)| { app.connect_stream(stream); peer });
    /// # let ids = app.all_socket_ids().await?;
    /// # let [ann, bob] = [0, 1].map(|n| app.socket(ids[n]).unwrap());
    /// ann.join("#lobby")?;
    /// bob.join("#lobby")?;
    /// assert_eq!(ann.to("#lobby").emit("message", "hi")?, 1); // to Bob only
    /// # Ok(()) }
    /// ```
    pub fn to(&self, audience: impl IntoAudience) -> Emitter {
        Emitter::new(self.node().clone(), self.app.project_id().clone(), audience, Some(self.id()))
    }

    /// Sends an event to all sockets except this one. Returns the number of sockets of this node that it
    /// was queued for.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, streams) = (switchboard::App::new(), [0; 2].map(|_| tokio::io::duplex(1024)));
    /// # let _peers = streams.map(|(peer, stream)| { app.connect_stream(stream); peer });
    /// # let ids = app.all_socket_ids().await?;
    /// # let [ann, bob] = [0, 1].map(|n| app.socket(ids[n]).unwrap());
    /// assert_eq!(ann.broadcast("joined", "Ann")?, 1); // to Bob only
    /// # Ok(()) }
    /// ```
    pub fn broadcast<T: Serialize + ?Sized>(&self, event: &str, data: &T) -> Result<usize, EmitError> {
        self.to(Target::Everyone).emit(event, data)
    }

    pub(crate) fn reply(&self, ack: &Payload, data: &Payload) {
        requests::reply(self.node(), &self.session, ack, data);
    }

    /// Sends one WebSocket message.
    #[doc(hidden)]
    pub fn send_raw(&self, opcode: OpCode, payload: &[u8]) {
        self.node().hub().deliver_frame(&self.session, &encode(opcode, payload), OverflowPolicy::Live);
    }
}
