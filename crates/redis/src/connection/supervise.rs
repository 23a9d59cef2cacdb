//! The supervised connection: every long-lived connection to Redis runs in this loop.
//!
//! The loop connects, runs a [`Session`] over the connection until either fails, waits for a random and growing
//! delay, and connects again. `switchboard_redis_up{connection}` is 1 while the session is [`Up`]. Each loss is
//! logged once, then each new reason why attempts fail, and the return with the time that it took.

use std::future::Future;
use std::ops::ControlFlow;

use metrics::{Gauge, gauge};
use redis::{RedisError, RedisResult};
use switchboard_log::{limited, printable_error};
use tokio::time::Instant;

use super::backoff::Backoff;
use super::connector::{Connected, Connector, OnPush, ignore_pushes};
use super::redis_connection::RedisConnection;

/// The use of one supervised connection.
pub(crate) trait Session: Send {
    /// Value of the metric's label `connection`; also a field of the log lines.
    const CONNECTION: &'static str;

    /// Log message for the loss of a connection that was up: the event and its consequence.
    const LOST: &'static str;

    /// Receives published messages and other push data of the next connection. Default: ignores them.
    fn on_push(&self) -> OnPush {
        ignore_pushes()
    }

    /// Serves over one connection, and returns the error that ends it. Calls [`Up::set`] once it is ready. `Ok` ends the
    /// supervision. The future is dropped when the connection closes.
    fn serve(
        &mut self,
        connection: RedisConnection,
        up: &mut Up,
    ) -> impl Future<Output = RedisResult<()>> + Send;

    /// Called after each connection that ended or could not be made. `Break` ends the supervision.
    fn disconnected(&mut self) -> ControlFlow<()>;
}

/// Whether a session is ready, as the metric and the log show it.
pub(crate) struct Up {
    connection: &'static str,
    gauge: Gauge,
    is_up: bool,
    /// When the session ceased to be up, or was started without a connection.
    down_since: Instant,
    /// Why connections have ended since the session was up.
    reasons: Vec<String>,
}

/// Maximum number of reasons that are logged until the session is up again.
const REASONS_MAX: usize = 8;

impl Up {
    fn new(connection: &'static str, is_up: bool) -> Self {
        let gauge = gauge!("switchboard_redis_up", "connection" => connection);
        gauge.set(0.0);
        Up { connection, gauge, is_up, down_since: Instant::now(), reasons: Vec::new() }
    }

    /// Marks the session as up until its connection ends.
    pub(crate) fn set(&mut self) {
        self.gauge.set(1.0);
        if !std::mem::replace(&mut self.is_up, true) && !std::mem::take(&mut self.reasons).is_empty() {
            let down_ms = self.down_since.elapsed().as_millis() as u64;
            limited!(INFO, connection = self.connection, down_ms, "connected to Redis again");
        }
    }

    /// Marks the session as down. Returns whether it was up.
    fn clear(&mut self) -> bool {
        self.gauge.set(0.0);
        let was_up = std::mem::take(&mut self.is_up);
        if was_up {
            self.down_since = Instant::now();
        }
        was_up
    }

    /// Records why a connection ended or could not be made. Returns whether the reason is new.
    fn fail(&mut self, error: &RedisError) -> bool {
        let reason = error.to_string();
        let is_new = !self.reasons.contains(&reason) && self.reasons.len() < REASONS_MAX;
        if is_new {
            self.reasons.push(reason);
        }
        is_new
    }
}

/// Runs a session over one connection after the other. `first` is an open connection.
pub(crate) async fn supervise<S: Session>(
    connector: &Connector,
    mut session: S,
    mut first: Option<Connected>,
) {
    let mut up = Up::new(S::CONNECTION, first.is_some());
    let mut backoff = Backoff::default();
    loop {
        let connected = match first.take() {
            Some(connected) => Ok(connected),
            None => connector.connect(session.on_push()).await,
        };
        let ended = match connected {
            Ok(connected) => tokio::select! {
                ended = session.serve(connected.connection.clone(), &mut up) => ended,
                error = connected.lost() => Err(error),
            },
            Err(error) => Err(error),
        };
        let (was_up, connection) = (up.clear(), S::CONNECTION);
        let after = session.disconnected();
        match ended {
            Ok(()) => return,
            Err(error) => {
                let is_new = up.fail(&error);
                if was_up {
                    backoff = Backoff::default();
                    connector.losses.record();
                    limited!(WARN, connection, error = printable_error(&error), "{}", S::LOST);
                } else if is_new {
                    limited!(
                        WARN,
                        connection,
                        error = printable_error(&error),
                        "cannot connect to Redis; attempts continue"
                    );
                } else {
                    limited!(
                        DEBUG,
                        connection,
                        error = printable_error(&error),
                        "cannot connect to Redis; another attempt follows"
                    );
                }
            }
        }
        if after.is_break() {
            return;
        }
        backoff.pause().await;
    }
}
