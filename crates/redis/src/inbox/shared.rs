//! State that the inbox shares with the task that serves its connection.

use std::sync::Arc;

use metrics::Counter;
use switchboard_backplane::InboxLimits;
use tokio::sync::watch;

use super::appender::Appender;
use super::limits::LimitsAnnouncer;
use super::opening::OpenQueue;
use super::receipts::ReceiptQueue;
use super::scripts::InboxScripts;
use crate::connection::RedisConnection;
use crate::context::Context;
use crate::error::RequestError;

pub(super) struct InboxShared {
    pub(super) context: Arc<Context>,
    pub(super) limits: InboxLimits,
    pub(super) announcer: LimitsAnnouncer,
    pub(super) scripts: Arc<InboxScripts>,
    pub(super) appender: Appender,
    pub(super) opens: OpenQueue,
    pub(super) receipts: ReceiptQueue,
    pub(super) state: watch::Sender<InboxState>,
    pub(super) expired: Counter,
}

/// Progress of the inbox.
#[derive(Clone, Default)]
pub(super) struct InboxState {
    /// The connection, while it is up.
    pub(super) connection: Option<RedisConnection>,
    /// Number of receipts written or dropped so far.
    pub(super) written: u64,
}

impl InboxShared {
    pub(super) fn connection(&self) -> Result<RedisConnection, RequestError> {
        self.state.borrow().connection.clone().ok_or(RequestError::Disconnected)
    }
}
