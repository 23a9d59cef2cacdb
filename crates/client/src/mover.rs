//! Moving to another node: a server that goes away gives each client a time slot.
//!
//! At its slot the client waits for replies that are under way, holds its frames back, opens a second connection with the
//! ticket of its session, and gives the first one up once the second one is ready.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, sleep_until, timeout};

use crate::backoff;
use crate::endpoint::{Connected, Endpoint};
use crate::error::ConnectError;
use crate::notice::Notice;
use crate::reader::Reader;
use crate::shared::Shared;

/// How often a client that waits for replies looks whether they have come.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// A connection that replaces the current one.
pub(crate) struct Moved {
    pub(crate) connected: Connected,
    /// It continues the session.
    pub(crate) resumed: bool,
}

/// Moves a client.
pub(crate) struct Mover<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) reader: &'a Reader,
    /// While true, no frame is sent.
    pub(crate) holding: &'a watch::Sender<bool>,
}

impl Mover<'_> {
    /// Completes when another connection has replaced the current one, which happens only after a notice.
    pub(crate) async fn run(&self) -> Moved {
        let mut notices = self.shared.notices.subscribe();
        loop {
            let notice = *notices.wait_for(Option::is_some).await.expect("the sender is shared");
            let Some(notice) = notice else { continue };
            tokio::select! {
                moved = self.move_at(notice) => return moved,
                // Cancelled, or replaced by another one.
                _ = notices.changed(), if !self.is_holding() => {}
            }
            self.holding.send_replace(false);
        }
    }

    fn is_holding(&self) -> bool {
        *self.holding.borrow()
    }

    async fn move_at(&self, notice: Notice) -> Moved {
        sleep_until(notice.slot).await;
        // A reply that the old node computes has no way to the new connection.
        while !self.shared.pending.is_empty() && notice.slot.elapsed() < notice.grace / 2 {
            sleep(CHECK_INTERVAL).await;
        }
        let options = &self.shared.options;
        for attempt in 1.. {
            // The server would not read what is sent after it has passed the session on.
            self.holding.send_replace(true);
            match self.open().await {
                Ok(moved) => return moved,
                Err(error) => {
                    self.holding.send_replace(false);
                    self.shared.report(&format!("move {attempt} to another node failed: {error}"));
                }
            }
            let (delay, max) = (options.reconnect_delay, options.max_reconnect_delay);
            sleep(backoff::delay_before(attempt - 1, delay, max, rand::random())).await;
        }
        unreachable!("the attempts have no end")
    }

    /// Opens a connection with the ticket of the session, and reads the answer.
    async fn open(&self) -> Result<Moved, ConnectError> {
        let options = &self.shared.options;
        let ticket = self.shared.session.ticket();
        let mut connected = self.endpoint.connect(options, ticket.as_deref()).await?;
        let resumed = connected.answers_ticket && {
            let answer = self.reader.read_session(&mut connected.socket);
            timeout(options.connect_timeout, answer).await.unwrap_or(false)
        };
        Ok(Moved { connected, resumed })
    }
}
