//! The state that a client shares with its task.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::error::EmitError;
use crate::listeners::{Listeners, error_data};
use crate::notice::Notices;
use crate::options::Options;
use crate::pending::PendingRequests;
use crate::session::Session;

/// An instruction of the client to its task.
pub(crate) enum Command {
    Send(String),
    Close,
}

/// How a connection ended.
pub(crate) enum Disconnect {
    /// The program closed the client or dropped its last clone.
    Closed,
    Lost {
        code: u16,
        reason: String,
    },
}

impl Disconnect {
    /// The connection ended without a close frame.
    pub(crate) const ABNORMAL: Disconnect = Disconnect::Lost { code: 1006, reason: String::new() };
}

pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) listeners: Arc<Listeners>,
    pub(crate) pending: PendingRequests,
    pub(crate) session: Session,
    pub(crate) notices: Notices,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connected: bool,
    /// There will be no further connection.
    ended: bool,
    /// Frames to send when the connection is back.
    offline_queue: VecDeque<String>,
    queued_bytes: usize,
}

impl Shared {
    /// The state of a client that has just connected.
    pub(crate) fn connected(options: Options) -> Arc<Self> {
        let state = Mutex::new(State { connected: true, ..State::default() });
        Arc::new(Shared {
            options,
            listeners: Arc::default(),
            pending: PendingRequests::default(),
            session: Session::default(),
            notices: Notices::default(),
            state,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code that holds the state panics")
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.state().connected
    }

    /// Queues a frame if there is no connection. Returns it to be sent otherwise.
    pub(crate) fn queue_if_disconnected(&self, text: String) -> Result<Option<String>, EmitError> {
        let mut state = self.state();
        if state.connected {
            return Ok(Some(text));
        }
        let max = self.options.queue_bytes_max;
        if state.ended || max == 0 {
            return Err(EmitError::Disconnected);
        }
        if state.queued_bytes + text.len() > max {
            return Err(EmitError::QueueFull(max));
        }
        state.queued_bytes += text.len();
        state.offline_queue.push_back(text);
        Ok(None)
    }

    /// Takes the next queued frame. When the queue is empty, the client counts as connected and frames are sent
    /// directly.
    pub(crate) fn next_queued(&self) -> Option<String> {
        let mut state = self.state();
        let next = state.offline_queue.pop_front();
        match &next {
            Some(text) => state.queued_bytes -= text.len(),
            None => state.connected = true,
        }
        next
    }

    /// Fails pending requests. `ended` is true if there will be no further connection.
    pub(crate) fn disconnect(&self, ended: bool) {
        let mut state = self.state();
        state.connected = false;
        state.ended = ended;
        drop(state);
        self.session.lose();
        self.pending.fail(ended);
    }

    /// Calls the `@error` listeners.
    pub(crate) fn report(&self, error: &str) {
        self.listeners.call("@error", &error_data(error));
    }
}
