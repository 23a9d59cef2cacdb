//! The emitter: builds a message to an audience and sends it, or stores and sends it.

mod policy;
mod trace;

use std::sync::Arc;

use serde::Serialize;
use switchboard_backplane::Stored;
use switchboard_event::{
    Audience, AudienceError, Event, IntoAudience, Name, NameError, OverflowPolicy, Parcel, Payload,
    ProjectId, Resource, SocketId, Target, TraceId, UserId,
};
use switchboard_hub::{Delivered, Scope};

use crate::node::access::operation::Operation;
use crate::node::clock::now_ms;
use crate::node::errors::{EmitError, Forbidden};
use crate::node::send_hooks::{notify_sent, notify_undeliverable};
use crate::node::trace::points;
use crate::node::{Node, access, membership};

/// The outcome of a message on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sent {
    /// Sockets of this node that it was queued for.
    pub queued: usize,
    /// Those of them that are behind: more than half of their outbox is full.
    pub behind: usize,
    /// Sockets of this node that missed it, by its overflow policy, because their outbox was full.
    pub dropped: usize,
    /// True if other nodes may not have received it, because this one is disconnected from them.
    pub is_degraded: bool,
    /// The id of its trace, if it was [asked for](Emitter::trace).
    pub trace: Option<TraceId>,
}

/// A builder of a message to an audience; [`emit`](Self::emit) sends it.
///
/// Each socket of the audience receives one copy, even if it matches several targets.
///
/// ```no_run
/// # use serde_json::json;
/// # fn example(app: switchboard::App, socket: switchboard::Socket) -> Result<(), switchboard::EmitError> {
/// app.to("#lobby").emit("announcement", &json!({ "text": "five minutes" }))?;
/// // To the room and the tag, without the sender and without sockets that are tagged `*muted`:
/// socket.to("#lobby").and("*admin").except("*muted").emit("message", &json!({ "text": "hi" }))?;
/// // A place that the next one replaces, if it is still queued for a receiver.
/// socket.to("#game").latest("ann").emit("moved", &json!([3, 4]))?;
/// # Ok(()) }
/// ```
#[must_use = "nothing is sent until `emit` or `dispatch` is called"]
pub struct Emitter {
    node: Arc<Node>,
    project: ProjectId,
    audience: Result<Audience, AudienceError>,
    sender: Option<SocketId>,
    including_self: bool,
    needs_rights: bool,
    policy: Result<OverflowPolicy, NameError>,
    scope: Scope,
    trace: Option<TraceId>,
}

impl Emitter {
    pub(crate) fn new(
        node: Arc<Node>,
        project: ProjectId,
        audience: impl IntoAudience,
        sender: Option<SocketId>,
    ) -> Self {
        Emitter {
            node,
            project,
            audience: audience.into_audience(),
            sender,
            including_self: false,
            needs_rights: false,
            policy: Ok(OverflowPolicy::default()),
            scope: Scope::default(),
            trace: None,
        }
    }

    /// Adds targets to the audience.
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

    /// Excludes targets from the audience; an exclusion overrides every target.
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
    /// assert_eq!(app.to(Target::Everyone).except("*muted").emit("message", "hi")?, 1);
    /// app.to("#lobby").except(Target::user("ann")?).emit("message", "hi")?;
    /// # Ok(()) }
    /// ```
    pub fn except(mut self, audience: impl IntoAudience) -> Self {
        self.extend(audience, |whole, less| whole.except.extend(less.to));
        self
    }

    fn extend(&mut self, audience: impl IntoAudience, merge: impl FnOnce(&mut Audience, Audience)) {
        match (&mut self.audience, audience.into_audience()) {
            (Ok(whole), Ok(part)) => merge(whole, part),
            (Ok(_), Err(error)) => self.audience = Err(error),
            (Err(_), _) => {}
        }
    }

    /// Delivers to the sending socket too, if it is in the audience. By default it is excluded.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, streams) = (switchboard::App::new(), [0; 2].map(|_| tokio::io::duplex(1024)));
    /// # let _peers = streams.map(|(peer, stream)| { app.connect_stream(stream); peer });
    /// # let ids = app.all_socket_ids().await?;
    /// # let [ann, bob] = [0, 1].map(|n| app.socket(ids[n]).unwrap());
    /// ann.join("#lobby")?;
    /// bob.join("#lobby")?;
    /// assert_eq!(ann.to("#lobby").emit("message", "hi")?, 1);
    /// assert_eq!(ann.to("#lobby").including_self().emit("message", "hi")?, 2);
    /// # Ok(()) }
    /// ```
    pub fn including_self(mut self) -> Self {
        self.including_self = true;
        self
    }

    /// Sends for the client of the socket, who needs the right to send to every target, by the claim `can` of its token
    /// or by the [rule](crate::App::with_access_rule) of the app. Otherwise nothing is sent. By default a handler
    /// sends for the server, which needs no right.
    ///
    /// ```
    /// use switchboard::{App, Payload, ReplyError, Socket};
    ///
    /// async fn message(socket: Socket, data: Payload) -> Result<(), ReplyError> {
    ///     socket.to("#lobby").as_client().emit_payload("message", data)?;
    ///     Ok(())
    /// }
    /// ```
    pub fn as_client(mut self) -> Self {
        self.needs_rights = true;
        self
    }

    /// Checks that the client may send to every target.
    fn check_rights(&self, audience: &Audience, operation: Operation) -> Result<(), Forbidden> {
        if !self.needs_rights || !self.node.access.is_enabled() {
            return Ok(());
        }
        let session = self.sender.and_then(|id| membership::session(&self.node, &self.project, id));
        for target in &audience.to {
            let resource = Resource::from(target);
            match &session {
                Some(session) => access::check(&self.node, session, operation, resource)?,
                // The emitter of an app has no client, and a client that has closed has no rights.
                None => {
                    return Err(Forbidden { right: operation.right(), resource: resource.to_string() });
                }
            }
        }
        Ok(())
    }

    /// Limits the message to sockets of this node.
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

    /// Sends the event. Returns the number of sockets of this node that it was queued for.
    ///
    /// # Errors
    /// If the event's name or the audience is invalid, or the data cannot be serialized as JSON.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// # use serde_json::json;
    /// socket.join("#lobby")?;
    /// let queued = app.to("#lobby").emit("message", &json!({ "text": "hi" }))?;
    /// assert_eq!(queued, 1);
    /// # Ok(()) }
    /// ```
    pub fn emit<T: Serialize + ?Sized>(self, event: &str, data: &T) -> Result<usize, EmitError> {
        let payload = Payload::of(data)?;
        self.emit_payload(event, payload)
    }

    /// Sends an event like [`emit`](Self::emit), with data that is JSON already and is not parsed.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # use switchboard::{App, Payload, Reply, ReplyError, Socket};
    /// async fn forward(socket: Socket, data: Payload) -> Result<Reply<usize>, ReplyError> {
    ///     Ok(Reply(socket.to("#lobby").emit_payload("message", data)?))
    /// }
    /// # let app = App::new().on("/forward", forward);
    /// # let server = switchboard_testkit::TestServer::start(app).await;
    /// # let mut peer = server.peer().await;
    /// # assert_eq!(peer.request("/forward", serde_json::json!({ "text": "hi" })).await, 0);
    /// # }
    /// ```
    pub fn emit_payload(self, event: &str, data: Payload) -> Result<usize, EmitError> {
        Ok(self.send_payload(event, data)?.queued)
    }

    /// Sends an event like [`emit_payload`](Self::emit_payload), and returns also how many receivers are behind.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # let (app, (_peer, stream)) = (switchboard::App::new(), tokio::io::duplex(1024));
    /// # app.connect_stream(stream);
    /// # let socket = app.socket(app.all_socket_ids().await?[0]).unwrap();
    /// # use switchboard::Payload;
    /// socket.join("#lobby")?;
    /// let sent = app.to("#lobby").send_payload("message", Payload::of("hi")?)?;
    /// assert_eq!((sent.queued, sent.behind, sent.is_degraded), (1, 0, false));
    /// # Ok(()) }
    /// ```
    pub fn send_payload(self, event: &str, data: Payload) -> Result<Sent, EmitError> {
        if let Ok(audience) = &self.audience
            && let Err(forbidden) = self.check_rights(audience, Operation::Send)
        {
            self.trace_refusal(audience, event, &data, &forbidden);
            return Err(forbidden.into());
        }
        let (mut audience, trace) = (self.audience?, self.trace);
        if let (Some(sender), false) = (self.sender, self.including_self) {
            audience.except.push(Target::Socket(sender));
        }
        let event = Event { name: Name::new(event)?, data, sender: self.sender, time_ms: now_ms(), trace };
        let parcel = Parcel::new(event, self.policy?);
        let delivered = self.node.hub().send(&self.project, &audience, &parcel, self.scope);
        notify_sent(&self.node, &self.project, &parcel.event, &audience.to, &audience.except, false);
        let Delivered { queued, behind, dropped, .. } = delivered;
        let is_degraded = self.scope == Scope::AllNodes && !self.node.hub().bus().is_up();
        Ok(Sent { queued, behind, dropped, is_degraded, trace })
    }

    /// Stores a message for each user of the audience and sends it to their connected sockets. Returns when
    /// it is stored.
    ///
    /// The message stays in a user's inbox until one of the user's clients acknowledges it. It is
    /// redelivered at each login, before live messages, so delivery is at least once.
    ///
    /// # Errors
    /// If the app has no inbox, the audience contains targets other than users, or the message may not
    /// have been stored.
    ///
    /// ```no_run
    /// # use serde_json::json;
    /// # use switchboard::{App, EmitError, Target};
    /// # async fn example(app: App) -> Result<(), EmitError> {
    /// let stored = app.to([Target::user("7")?, Target::user("8")?]).dispatch("INVITE", &json!({ "to": "#ops" })).await?;
    /// assert_eq!(stored.inboxes, 2);
    /// # Ok(()) }
    /// ```
    pub async fn dispatch<T: Serialize + ?Sized>(self, event: &str, data: &T) -> Result<Stored, EmitError> {
        let payload = Payload::of(data)?;
        self.dispatch_payload(event, payload).await
    }

    /// Stores and sends a message like [`dispatch`](Self::dispatch), with data that is JSON already.
    pub async fn dispatch_payload(self, event: &str, data: Payload) -> Result<Stored, EmitError> {
        if let Ok(audience) = &self.audience
            && let Err(forbidden) = self.check_rights(audience, Operation::Store)
        {
            self.trace_refusal(audience, event, &data, &forbidden);
            return Err(forbidden.into());
        }
        let Emitter { node, project, audience, sender, trace, .. } = self;
        let inbox = node.inbox().ok_or(EmitError::NoInbox)?;
        let audience = audience?;
        let except = users_of(&audience.except)?;
        let mut users = users_of(&audience.to)?;
        users.retain(|user| !except.contains(user));
        users.sort_unstable();
        users.dedup();
        let mut event = Event { name: Name::new(event)?, data, sender, time_ms: now_ms(), trace };
        event.trace = trace.or_else(|| node.hub().sample(&project, &audience, &event));
        points::storing(&node, &project, &event, &audience);
        let stored = inbox.put(&project, &users, &event).await;
        points::stored(&node, &project, &event, stored.as_ref());
        let stored = stored.inspect_err(|_| node.meters().inbox_failed.increment(users.len() as u64))?;
        notify_sent(&node, &project, &event, &audience.to, &audience.except, true);
        notify_undeliverable(&node, &project, event, users);
        Ok(stored)
    }
}

fn users_of(targets: &[Target]) -> Result<Vec<UserId>, EmitError> {
    let user = |target: &Target| match target {
        Target::User(user) => Ok(user.clone()),
        other => Err(EmitError::NotAUser(other.clone())),
    };
    targets.iter().map(user).collect()
}
