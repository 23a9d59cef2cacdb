//! The framework's state of a connection: handshake, protocol state, values set by handlers, pending
//! requests.

use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use once_cell::race::OnceBox;
use switchboard_event::Payload;
use switchboard_hub::Session;
use switchboard_ws::close::CloseCode;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::node::access::grants::Grants;
use crate::node::connection_info::ConnectionInfo;
use crate::node::errors::RequestError;
use crate::node::inbox::deliveries::Deliveries;
use crate::node::rates::connection::ConnectionRates;
use crate::node::resume::session_state::ResumeState;

/// State of a connection that belongs to its protocol.
pub(crate) type ProtocolState = Box<dyn Any + Send + Sync>;

/// Values set by handlers, by key.
type Values = HashMap<Box<str>, Arc<dyn Any + Send + Sync>>;

const VALUES: &str = "no code that holds the values panics";

/// The framework's state of a connection, stored in its [`Session`].
pub(crate) struct ConnectionState {
    pub(crate) info: ConnectionInfo,
    protocol: ProtocolState,
    /// One pointer, empty until a handler sets a value.
    values: OnceBox<Mutex<Values>>,
    waiting: Mutex<Option<Box<Waiting>>>,
    /// One pointer, empty until an inbox is used for this connection.
    deliveries: OnceBox<Deliveries>,
    /// One pointer, empty until rights matter for this connection.
    grants: OnceBox<Grants>,
    /// One pointer, empty in a session that cannot be resumed.
    resume: OnceBox<ResumeState>,
    /// One pointer, empty until a rate rule matters for this connection.
    rates: OnceBox<ConnectionRates>,
    next_request: AtomicU32,
    /// Bytes have arrived since the last heartbeat.
    pub(crate) has_received: AtomicBool,
    /// Number of consecutive pings after which nothing arrived.
    pub(crate) missed_pings: AtomicU8,
    /// The heartbeat's slot with this connection.
    pub(crate) heartbeat_slot: AtomicU8,
    /// The connection has ended.
    pub(crate) is_disconnected: AtomicBool,
    /// While set, no frames of the client are decoded.
    pub(crate) is_decoding_paused: AtomicBool,
    /// Before more is decoded, [flow control](crate::node::flow_control) waits for receivers.
    pub(crate) awaits_receivers: AtomicBool,
    /// The close code that this node sent first; 0 if none.
    close_code: AtomicU16,
    /// Number of handlers in flight.
    pub(crate) handlers: AtomicU32,
}

/// Callers that wait for the client, or for the end of its connection.
#[derive(Default)]
struct Waiting {
    /// Requests without a reply yet, by the id that the reply carries.
    replies: HashMap<u32, oneshot::Sender<Payload>>,
    /// Cancelled when the connection ends.
    closed: Option<CancellationToken>,
}

impl ConnectionState {
    pub(crate) fn new(info: ConnectionInfo, protocol: ProtocolState) -> Self {
        ConnectionState {
            info,
            protocol,
            values: OnceBox::new(),
            waiting: Mutex::default(),
            deliveries: OnceBox::new(),
            grants: OnceBox::new(),
            resume: OnceBox::new(),
            rates: OnceBox::new(),
            next_request: AtomicU32::new(1),
            has_received: AtomicBool::new(true),
            missed_pings: AtomicU8::new(0),
            heartbeat_slot: AtomicU8::new(0),
            is_disconnected: AtomicBool::new(false),
            is_decoding_paused: AtomicBool::new(false),
            awaits_receivers: AtomicBool::new(false),
            close_code: AtomicU16::new(0),
            handlers: AtomicU32::new(0),
        }
    }

    pub(crate) fn of(session: &Session) -> &ConnectionState {
        session
            .connection_state
            .downcast_ref()
            .expect("UpgradeService adds every session with a ConnectionState")
    }

    /// The protocol state, if it has type `T`.
    pub(crate) fn protocol<T: Any>(&self) -> Option<&T> {
        self.protocol.downcast_ref()
    }

    /// Inbox messages sent to this connection.
    pub(crate) fn deliveries(&self) -> &Deliveries {
        self.deliveries.get_or_init(Box::default)
    }

    /// [`deliveries`](Self::deliveries), or `None` if no inbox was ever used for this connection.
    pub(crate) fn deliveries_if_any(&self) -> Option<&Deliveries> {
        self.deliveries.get()
    }

    /// The rights of this connection; `None` if they never mattered.
    pub(crate) fn grants(&self) -> Option<&Grants> {
        self.grants.get()
    }

    pub(crate) fn grants_or_new(&self) -> &Grants {
        self.grants.get_or_init(Box::default)
    }

    /// The state with which the session is resumed; `None` if it cannot be resumed and remembers nothing.
    pub(crate) fn resume(&self) -> Option<&ResumeState> {
        self.resume.get()
    }

    pub(crate) fn resume_or_new(&self) -> &ResumeState {
        self.resume.get_or_init(Box::default)
    }

    /// Forgets the state of the connection that has ended, because the session may get another. Returns the code with
    /// which this node has closed it.
    pub(crate) fn end_connection(&self) -> Option<CloseCode> {
        self.missed_pings.store(0, Ordering::Relaxed);
        self.has_received.store(true, Ordering::Relaxed);
        self.awaits_receivers.store(false, Ordering::Relaxed);
        let code = self.close_code.swap(0, Ordering::Relaxed);
        (code != 0).then_some(CloseCode(code))
    }

    /// The rate state of this connection.
    pub(crate) fn rates_or_new(&self) -> &ConnectionRates {
        self.rates.get_or_init(Box::default)
    }

    /// The value that a handler has set under a key.
    pub(crate) fn value(&self, key: &str) -> Option<Arc<dyn Any + Send + Sync>> {
        self.values.get()?.lock().expect(VALUES).get(key).cloned()
    }

    pub(crate) fn set_value(&self, key: &str, value: Arc<dyn Any + Send + Sync>) {
        self.values.get_or_init(Box::default).lock().expect(VALUES).insert(key.into(), value);
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Box<Waiting>>> {
        self.waiting.lock().expect("no code that holds the lock panics")
    }

    /// A token that is cancelled when the connection ends.
    pub(crate) fn closed(&self) -> CancellationToken {
        let mut waiting = self.waiting();
        // Checked under the lock, because `mark_disconnected` sets the flag before it takes the lock.
        if self.is_disconnected.load(Ordering::Relaxed) {
            let closed = CancellationToken::new();
            closed.cancel();
            return closed;
        }
        waiting.get_or_insert_default().closed.get_or_insert_default().clone()
    }

    /// Completes a request with its reply. Returns false if no request with this id is pending.
    pub(crate) fn resolve(&self, ack: &Payload, data: Payload) -> bool {
        let Some(id) = ack.to_text().and_then(|id| id.parse().ok()) else { return false };
        let sender = self.waiting().as_mut().and_then(|waiting| waiting.replies.remove(&id));
        sender.is_some_and(|sender| sender.send(data).is_ok())
    }

    /// Records the code with which this node closes the connection. Later codes are ignored.
    pub(crate) fn record_close_code(&self, code: CloseCode) {
        let _ = self.close_code.compare_exchange(0, code.0, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The code with which this node closed the connection.
    pub(crate) fn close_code(&self) -> Option<CloseCode> {
        let code = self.close_code.load(Ordering::Relaxed);
        (code != 0).then_some(CloseCode(code))
    }

    /// Marks the connection as ended, fails its pending requests, and cancels [`closed`](Self::closed).
    pub(crate) fn mark_disconnected(&self) {
        self.is_disconnected.store(true, Ordering::Relaxed);
        let waiting = self.waiting().take();
        if let Some(closed) = waiting.and_then(|waiting| waiting.closed) {
            closed.cancel();
        }
        if let Some(resume) = self.resume() {
            resume.notify_changed();
        }
    }
}

/// Returns true if a socket is closing or closed.
pub(crate) fn is_closed(session: &Session) -> bool {
    session.outbox.is_closing() || ConnectionState::of(session).is_disconnected.load(Ordering::Relaxed)
}

/// A request to a client without a reply yet. Dropping it removes it from the pending requests.
pub(crate) struct PendingRequest<'a> {
    state: &'a ConnectionState,
    id: u32,
    receiver: oneshot::Receiver<Payload>,
}

impl<'a> PendingRequest<'a> {
    pub(crate) fn open(state: &'a ConnectionState, max: usize) -> Result<Self, RequestError> {
        let (sender, receiver) = oneshot::channel();
        let id = state.next_request.fetch_add(1, Ordering::Relaxed);
        let mut waiting = state.waiting();
        // Checked under the lock, because `mark_disconnected` sets the flag before it takes the lock.
        if state.is_disconnected.load(Ordering::Relaxed) {
            return Err(RequestError::Closed);
        }
        let replies = &mut waiting.get_or_insert_default().replies;
        if replies.len() >= max {
            return Err(RequestError::TooMany { max });
        }
        replies.insert(id, sender);
        Ok(PendingRequest { state, id, receiver })
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Waits for the reply.
    pub(crate) async fn reply(mut self, timeout: Duration) -> Result<Payload, RequestError> {
        match tokio::time::timeout(timeout, &mut self.receiver).await {
            Ok(Ok(payload)) => Ok(payload),
            Ok(Err(_)) => Err(RequestError::Closed),
            Err(_) => Err(RequestError::Timeout(timeout)),
        }
    }
}

impl Drop for PendingRequest<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = self.state.waiting().as_mut() {
            waiting.replies.remove(&self.id);
        }
    }
}
