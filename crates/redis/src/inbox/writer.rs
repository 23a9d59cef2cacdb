//! The task that serves the connection of the inboxes: it writes receipts in their order, and runs the queues
//! of stored messages and opened inboxes and the removal of expired messages.

use std::ops::ControlFlow;
use std::sync::Arc;

use metrics::{Counter, counter};
use redis::{FromRedisValue, RedisResult};
use switchboard_log::{limited, printable_error};
use tokio::time::timeout;

use super::expiry::expire_regularly;
use super::receipts::ReceiptBatch;
use super::shared::InboxShared;
use crate::connection::{RedisConnection, Session, Up, is_no_master, script};
use crate::options::REPLY_TIMEOUT;

/// Maximum number of receipts in one pipeline.
const BATCH_MAX: usize = 1024;

pub(super) struct InboxWriter {
    shared: Arc<InboxShared>,
    /// Receipts that may have been sent and have no reply yet.
    unconfirmed: ReceiptBatch,
    acknowledged: Counter,
}

impl InboxWriter {
    pub(super) fn new(shared: Arc<InboxShared>) -> Self {
        let acknowledged = counter!("switchboard_inbox_acknowledged_total");
        InboxWriter { shared, unconfirmed: ReceiptBatch::default(), acknowledged }
    }

    async fn write_receipts(&mut self, mut connection: RedisConnection) -> RedisResult<()> {
        loop {
            let shared = self.shared.clone();
            if self.unconfirmed.receipts.is_empty() {
                self.unconfirmed = shared.receipts.take(BATCH_MAX);
            }
            if self.unconfirmed.receipts.is_empty() {
                if timeout(REPLY_TIMEOUT, shared.receipts.filled()).await.is_err() {
                    connection.ping().await?;
                }
                continue;
            }
            self.write_unconfirmed(&mut connection).await?;
            self.unconfirmed.receipts.clear();
            shared.state.send_modify(|state| state.written = self.unconfirmed.count);
        }
    }

    async fn write_unconfirmed(&mut self, connection: &mut RedisConnection) -> RedisResult<()> {
        let InboxShared { context, scripts, .. } = &*self.shared;
        let batch = || self.unconfirmed.batch(&context.names, scripts);
        for reply in script::run_batch(connection, &**scripts, batch).await? {
            match reply.extract_error().and_then(|reply| Ok(<(u64, u64)>::from_redis_value(reply)?)) {
                Ok((acknowledged, failed)) => {
                    self.acknowledged.increment(acknowledged);
                    if failed > 0 {
                        limited!(ERROR, failed, "inbox key has the wrong type; acknowledgements dropped");
                    }
                }
                // Repeated with the next connection, which is to a master.
                Err(error) if is_no_master(error.kind()) => return Err(error),
                Err(error) => {
                    limited!(
                        ERROR,
                        error = printable_error(&error),
                        "acknowledgements refused by Redis; their messages are redelivered"
                    );
                }
            }
        }
        Ok(())
    }
}

impl Session for InboxWriter {
    const CONNECTION: &'static str = "inbox";
    const LOST: &'static str =
        "inbox disconnected from Redis; no message is stored or redelivered until it reconnects";

    async fn serve(&mut self, mut connection: RedisConnection, up: &mut Up) -> RedisResult<()> {
        let shared = self.shared.clone();
        script::load(&mut connection, &*shared.scripts).await?;
        shared.announcer.announce(&mut connection, &shared.scripts).await;
        shared.appender.reconnected();
        shared.opens.reconnected();
        up.set();
        shared.state.send_modify(|state| state.connection = Some(connection.clone()));
        shared.context.reconnects.record();
        tokio::select! {
            never = shared.appender.run(&connection) => match never {},
            never = shared.opens.run(&connection) => match never {},
            ended = self.write_receipts(connection.clone()) => ended,
            never = expire_regularly(&shared, connection.clone()) => match never {},
        }
    }

    fn disconnected(&mut self) -> ControlFlow<()> {
        self.shared.state.send_modify(|state| state.connection = None);
        ControlFlow::Continue(())
    }
}
