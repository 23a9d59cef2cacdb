//! What the framework keeps with each session: its door, its values, and who waits for its answers.

use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use switchboard_event::{Payload, PayloadError};
use switchboard_hub::Session;
use switchboard_ws::close::CloseCode;
use tokio::sync::oneshot;

use crate::api::emitter::EmitError;
use crate::node::inbox::Deliveries;
use crate::node::info::Info;
use crate::node::remote::NodeError;
use crate::protocols::{koji, mesa};

/// Which door a socket came through, and what that door keeps with it.
pub(crate) enum Through {
    Emit,
    Koji(Box<koji::Client>),
    Mesa(Box<mesa::Client>),
}

/// What handlers have set.
pub(crate) type Values = HashMap<Box<str>, Arc<dyn Any + Send + Sync>>;

/// What the framework keeps with a session.
pub(crate) struct Peer {
    pub(crate) info: Info,
    /// What the Koji door keeps, for sockets that came through it.
    through: Through,
    values: Mutex<Option<Box<Values>>>,
    pending: Mutex<Option<Box<Answers>>>,
    deliveries: OnceLock<Box<Deliveries>>,
    next_request: AtomicU32,
    /// Something was heard since the last heartbeat.
    pub(crate) heard: AtomicBool,
    /// Pings in a row that brought no sign of it.
    pub(crate) missed: AtomicU8,
    /// The connection has ended.
    pub(crate) gone: AtomicBool,
    /// What we closed it with; 0 if we did not.
    close_code: AtomicU16,
    /// Handlers that wait.
    pub(crate) waiting: AtomicU32,
}

/// Who waits for which answer.
type Answers = HashMap<u32, oneshot::Sender<Payload>>;

impl Peer {
    pub(crate) fn new(info: Info, through: Through) -> Self {
        Peer {
            info,
            through,
            values: Mutex::default(),
            pending: Mutex::default(),
            deliveries: OnceLock::new(),
            next_request: AtomicU32::new(1),
            heard: AtomicBool::new(true),
            missed: AtomicU8::new(0),
            gone: AtomicBool::new(false),
            close_code: AtomicU16::new(0),
            waiting: AtomicU32::new(0),
        }
    }

    pub(crate) fn of(session: &Session) -> &Peer {
        session.peer.downcast_ref().expect("every session of an app is made with a Peer")
    }

    pub(crate) fn koji(&self) -> Option<&koji::Client> {
        match &self.through {
            Through::Koji(client) => Some(client),
            Through::Emit | Through::Mesa(_) => None,
        }
    }

    /// What the Mesa door keeps with it, if it came through that.
    pub(crate) fn mesa(&self) -> Option<&mesa::Client> {
        match &self.through {
            Through::Mesa(client) => Some(client),
            Through::Emit | Through::Koji(_) => None,
        }
    }

    /// Something came from it.
    pub(crate) fn heard(&self) {
        self.heard.store(true, Ordering::Relaxed);
        if let Through::Koji(client) = &self.through {
            client.heard();
        }
    }

    /// What it was sent of what waits for its users.
    pub(crate) fn deliveries(&self) -> &Deliveries {
        self.deliveries.get_or_init(Box::default)
    }

    /// The same, if it ever had a user whose messages wait.
    pub(crate) fn deliveries_if_any(&self) -> Option<&Deliveries> {
        self.deliveries.get().map(|deliveries| &**deliveries)
    }

    pub(crate) fn values(&self) -> MutexGuard<'_, Option<Box<Values>>> {
        self.values.lock().expect("no code that holds the values panics")
    }

    fn answers(&self) -> MutexGuard<'_, Option<Box<Answers>>> {
        self.pending.lock().expect("no code that holds the answers panics")
    }

    /// Hands an answer to who waits for it. An unknown id is dropped: it came too late, or from
    /// nowhere.
    pub(crate) fn resolve(&self, ack: &Payload, data: Payload) {
        let Ok(id) = ack.to::<String>() else { return };
        let Ok(id) = id.parse() else { return };
        let waiting = self.answers().as_mut().and_then(|answers| answers.remove(&id));
        if let Some(sender) = waiting {
            // Who asked may have given up in this moment.
            let _ = sender.send(data);
        }
    }

    /// Notes why we close, for who asks when it is over. The first reason counts.
    pub(crate) fn closed_by_us(&self, code: CloseCode) {
        let _ = self.close_code.compare_exchange(0, code.0, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// What we closed it with.
    pub(crate) fn close_code(&self) -> Option<CloseCode> {
        let code = self.close_code.load(Ordering::Relaxed);
        (code != 0).then_some(CloseCode(code))
    }

    /// Fails everything that waits.
    pub(crate) fn hang_up(&self) {
        self.gone.store(true, Ordering::Relaxed);
        drop(self.answers().take());
    }
}

/// Why a request to a client has no answer.
///
/// ```
/// # use switchboard::{RequestError, Socket};
/// async fn is_ready(socket: &Socket) -> Result<bool, RequestError> {
///     match socket.request("/ready?", &()).await {
///         Err(RequestError::Timeout(_)) => Ok(false),
///         answer => answer,
///     }
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The client did not answer in time.
    #[error("no reply within {0:?}")]
    Timeout(Duration),
    /// The client went away first.
    #[error("the socket has closed")]
    Gone,
    /// The bound on requests without an answer is a setting.
    #[error("{max} requests to this socket wait for an answer already, which is the most")]
    TooMany {
        /// The bound.
        max: usize,
    },
    /// The client's protocol has no replies.
    #[error("a client of this protocol cannot reply")]
    CannotReply,
    /// It could not be sent.
    #[error(transparent)]
    Emit(#[from] EmitError),
    /// The socket's node cannot be reached.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The answer has another shape.
    #[error("the reply does not have the expected shape")]
    Decode(#[source] PayloadError),
}

/// A request to a client that waits for its answer.
pub(crate) struct Pending<'a> {
    peer: &'a Peer,
    id: u32,
    receiver: oneshot::Receiver<Payload>,
}

impl<'a> Pending<'a> {
    pub(crate) fn open(peer: &'a Peer, max: usize) -> Result<Self, RequestError> {
        let (sender, receiver) = oneshot::channel();
        let id = peer.next_request.fetch_add(1, Ordering::Relaxed);
        let mut answers = peer.answers();
        // Checked under the lock: `hang_up` sets it before it takes the lock.
        if peer.gone.load(Ordering::Relaxed) {
            return Err(RequestError::Gone);
        }
        let answers = answers.get_or_insert_default();
        if answers.len() >= max {
            return Err(RequestError::TooMany { max });
        }
        answers.insert(id, sender);
        Ok(Pending { peer, id, receiver })
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    pub(crate) async fn answer(mut self, timeout: Duration) -> Result<Payload, RequestError> {
        match tokio::time::timeout(timeout, &mut self.receiver).await {
            Ok(Ok(payload)) => Ok(payload),
            Ok(Err(_)) => Err(RequestError::Gone),
            Err(_) => Err(RequestError::Timeout(timeout)),
        }
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if let Some(answers) = self.peer.answers().as_mut() {
            answers.remove(&self.id);
        }
    }
}
