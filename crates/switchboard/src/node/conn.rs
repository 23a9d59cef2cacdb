//! What the framework keeps with each session: its handshake, its values, its pending requests.

use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use switchboard_event::Payload;
use switchboard_hub::Session;
use switchboard_ws::close::CloseCode;
use tokio::sync::oneshot;

use crate::node::errors::RequestError;
use crate::node::inbox::deliveries::Deliveries;
use crate::node::info::Info;

/// State that a connection's protocol keeps with it.
pub(crate) type ProtocolState = Box<dyn Any + Send + Sync>;

/// Values that handlers have set, by their keys.
pub(crate) type Values = HashMap<Box<str>, Arc<dyn Any + Send + Sync>>;

/// A connection, as the framework keeps it with the hub's session.
pub(crate) struct Conn {
    pub(crate) info: Info,
    protocol: ProtocolState,
    values: Mutex<Option<Box<Values>>>,
    replies: Mutex<Option<Box<Replies>>>,
    deliveries: OnceLock<Box<Deliveries>>,
    next_request: AtomicU32,
    /// Bytes arrived since the last heartbeat.
    pub(crate) heard: AtomicBool,
    /// Consecutive pings after which nothing arrived.
    pub(crate) missed: AtomicU8,
    /// The connection has ended.
    pub(crate) gone: AtomicBool,
    /// While set, nothing more of the client is decoded.
    pub(crate) is_decoding_paused: AtomicBool,
    /// The code that this node closed it with; 0 if it did not.
    close_code: AtomicU16,
    /// Handlers in flight.
    pub(crate) handlers: AtomicU32,
}

/// Pending requests, by the id that their reply carries.
type Replies = HashMap<u32, oneshot::Sender<Payload>>;

impl Conn {
    pub(crate) fn new(info: Info, protocol: ProtocolState) -> Self {
        Conn {
            info,
            protocol,
            values: Mutex::default(),
            replies: Mutex::default(),
            deliveries: OnceLock::new(),
            next_request: AtomicU32::new(1),
            heard: AtomicBool::new(true),
            missed: AtomicU8::new(0),
            gone: AtomicBool::new(false),
            is_decoding_paused: AtomicBool::new(false),
            close_code: AtomicU16::new(0),
            handlers: AtomicU32::new(0),
        }
    }

    pub(crate) fn of(session: &Session) -> &Conn {
        session.peer.downcast_ref().expect("every session of an app is made with a Conn")
    }

    /// The state of its protocol, if that is of type `T`.
    pub(crate) fn protocol<T: Any>(&self) -> Option<&T> {
        self.protocol.downcast_ref()
    }

    /// The messages of an inbox that it was sent.
    pub(crate) fn deliveries(&self) -> &Deliveries {
        self.deliveries.get_or_init(Box::default)
    }

    /// The same; `None` if it never had a user with an inbox.
    pub(crate) fn deliveries_if_any(&self) -> Option<&Deliveries> {
        self.deliveries.get().map(|deliveries| &**deliveries)
    }

    pub(crate) fn values(&self) -> MutexGuard<'_, Option<Box<Values>>> {
        self.values.lock().expect("no code that holds the values panics")
    }

    fn replies(&self) -> MutexGuard<'_, Option<Box<Replies>>> {
        self.replies.lock().expect("no code that holds the replies panics")
    }

    /// Hands a reply to the request that waits for it. An unknown id is dropped.
    pub(crate) fn resolve(&self, ack: &Payload, data: Payload) {
        let Ok(id) = ack.to::<String>() else { return };
        let Ok(id) = id.parse() else { return };
        let waiting = self.replies().as_mut().and_then(|replies| replies.remove(&id));
        if let Some(sender) = waiting {
            // The request may have timed out in this moment.
            let _ = sender.send(data);
        }
    }

    /// Records the code that this node closes it with. The first counts.
    pub(crate) fn closed_by_us(&self, code: CloseCode) {
        let _ = self.close_code.compare_exchange(0, code.0, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The code that this node closed it with.
    pub(crate) fn close_code(&self) -> Option<CloseCode> {
        let code = self.close_code.load(Ordering::Relaxed);
        (code != 0).then_some(CloseCode(code))
    }

    /// Fails every waiting request.
    pub(crate) fn hang_up(&self) {
        self.gone.store(true, Ordering::Relaxed);
        drop(self.replies().take());
    }
}

/// Whether a socket has closed or is about to.
pub(crate) fn is_closed(session: &Session) -> bool {
    session.outbox.is_closing() || Conn::of(session).gone.load(Ordering::Relaxed)
}

/// A request to a client that waits for its reply.
pub(crate) struct Pending<'a> {
    conn: &'a Conn,
    id: u32,
    receiver: oneshot::Receiver<Payload>,
}

impl<'a> Pending<'a> {
    pub(crate) fn open(conn: &'a Conn, max: usize) -> Result<Self, RequestError> {
        let (sender, receiver) = oneshot::channel();
        let id = conn.next_request.fetch_add(1, Ordering::Relaxed);
        let mut replies = conn.replies();
        // Checked under the lock: `hang_up` sets it before it takes the lock.
        if conn.gone.load(Ordering::Relaxed) {
            return Err(RequestError::Closed);
        }
        let replies = replies.get_or_insert_default();
        if replies.len() >= max {
            return Err(RequestError::TooMany { max });
        }
        replies.insert(id, sender);
        Ok(Pending { conn, id, receiver })
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    pub(crate) async fn reply(mut self, timeout: Duration) -> Result<Payload, RequestError> {
        match tokio::time::timeout(timeout, &mut self.receiver).await {
            Ok(Ok(payload)) => Ok(payload),
            Ok(Err(_)) => Err(RequestError::Closed),
            Err(_) => Err(RequestError::Timeout(timeout)),
        }
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if let Some(replies) = self.conn.replies().as_mut() {
            replies.remove(&self.id);
        }
    }
}
