//! State that the history and the task of its connection share.

use std::sync::{Arc, OnceLock, Weak};

use switchboard_backplane::Receiver;
use tokio::sync::watch;

use super::commands::HistoryScripts;
use super::queue::RecordQueue;
use crate::bus::RedisBus;
use crate::connection::RedisConnection;
use crate::context::Context;

pub(super) struct HistoryShared {
    pub(super) context: Arc<Context>,
    pub(super) bus: Arc<RedisBus>,
    pub(super) scripts: Arc<HistoryScripts>,
    pub(super) queue: RecordQueue,
    pub(super) connected: watch::Sender<Option<Connected>>,
    pub(super) receiver: OnceLock<Weak<dyn Receiver>>,
}

/// A connection, and the identity of the data behind it.
#[derive(Clone)]
pub(super) struct Connected {
    pub(super) connection: RedisConnection,
    pub(super) data_id: Arc<str>,
}

impl HistoryShared {
    pub(super) fn new(context: Arc<Context>, bus: Arc<RedisBus>) -> Self {
        HistoryShared {
            queue: RecordQueue::new(context.options.publish_bytes_max),
            context,
            bus,
            scripts: Arc::new(HistoryScripts::new()),
            connected: watch::Sender::default(),
            receiver: OnceLock::new(),
        }
    }
}
