//! One endpoint: it sends batches until they are accepted, and records its status.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use http::StatusCode;
use metrics::{Counter, counter};
use switchboard_event::unix_ms;
use switchboard_log::{limited, printable, with_causes};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::batch::Batch;
use super::breaker::Breaker;
use super::filter::Filter;
use super::options::{EndpointOptions, WebhookError, WebhookOptions};
use super::retry::{Retry, retry_after};
use crate::outgoing::{CallError, OutgoingClient, Reply};
use crate::signature::Signer;

/// The state of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointState {
    /// The last call succeeded, or there was none.
    Delivering,
    /// The last call failed; it is repeated.
    Failing,
    /// The endpoint has answered 410 Gone. Its reports are kept until a replay or the next start.
    Stopped,
}

impl EndpointState {
    /// A short name for programs.
    pub fn name(self) -> &'static str {
        match self {
            EndpointState::Delivering => "delivering",
            EndpointState::Failing => "failing",
            EndpointState::Stopped => "stopped",
        }
    }
}

/// The status of an endpoint, as this node knows it.
#[derive(Debug, Clone)]
pub struct EndpointStatus {
    /// The name in the settings.
    pub name: String,
    /// The URL without its query, which may contain a secret.
    pub url: String,
    /// The state.
    pub state: EndpointState,
    /// Reports that the endpoint has accepted since the start.
    pub delivered: u64,
    /// Failures since the last success.
    pub failures: u32,
    /// Reports that this node holds for it.
    pub backlog: usize,
    /// Age of the oldest of them, in milliseconds.
    pub oldest_ms: u64,
    /// The last failure.
    pub last_error: Option<String>,
}

pub(crate) struct Endpoint {
    pub(crate) name: String,
    pub(crate) filter: Filter,
    client: OutgoingClient,
    signer: Signer,
    retry: Retry,
    age_max: Duration,
    breaker: Breaker,
    is_stopped: AtomicBool,
    stopped: Notify,
    /// Ends the pauses before the next attempts, and the wait after 410.
    replay: Notify,
    last_error: Mutex<Option<String>>,
    delivered: AtomicU64,
    meters: Meters,
}

struct Meters {
    delivered: Counter,
    too_old: Counter,
    queue_full: Counter,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the endpoint answered with status {0}")]
    Status(StatusCode, Option<Duration>),
}

impl Endpoint {
    pub(crate) fn new(options: &EndpointOptions, all: &WebhookOptions) -> Result<Self, WebhookError> {
        let EndpointOptions { name, url, secrets, events, projects, rooms, outgoing } = options;
        let client = OutgoingClient::new(url, outgoing.clone())
            .map_err(|source| WebhookError::Url { endpoint: name.clone(), source })?;
        let signer = Signer::new(secrets.iter().map(String::as_str))
            .map_err(|source| WebhookError::Secret { endpoint: name.clone(), source })?;
        Ok(Endpoint {
            name: name.clone(),
            filter: Filter { events: *events, projects: projects.clone(), rooms: rooms.clone() },
            client,
            signer,
            retry: Retry { min: all.retry_min, max: all.retry_max },
            age_max: all.age_max,
            breaker: Breaker::default(),
            is_stopped: AtomicBool::new(false),
            stopped: Notify::new(),
            replay: Notify::new(),
            last_error: Mutex::default(),
            delivered: AtomicU64::new(0),
            meters: Meters::new(name),
        })
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    /// Waits until the endpoint has answered 410.
    pub(crate) async fn wait_until_stopped(&self) {
        loop {
            let stopped = self.stopped.notified();
            tokio::pin!(stopped);
            stopped.as_mut().enable();
            if self.is_stopped() {
                return;
            }
            stopped.await;
        }
    }

    /// Lets failed calls be repeated now, also those of an endpoint that has answered 410.
    pub(crate) fn replay(&self) {
        self.is_stopped.store(false, Ordering::Relaxed);
        self.replay.notify_waiters();
    }

    /// Waits while the endpoint is stopped.
    async fn wait_until_replayed(&self) {
        loop {
            let replay = self.replay.notified();
            tokio::pin!(replay);
            replay.as_mut().enable();
            if !self.is_stopped() {
                return;
            }
            replay.await;
        }
    }

    /// Counts reports that found the queue full.
    pub(crate) fn count_queue_full(&self) {
        self.meters.queue_full.increment(1);
        limited!(WARN, endpoint = printable(&self.name), "webhook queue is full; report dropped");
    }

    /// Sends a batch until the endpoint accepts it or its reports are too old.
    pub(crate) async fn deliver(&self, batch: &mut Batch) {
        let (mut attempt, mut turn) = (0, None);
        while !batch.reports.is_empty() {
            turn = Some(self.breaker.turn(turn).await);
            if self.is_stopped() {
                (attempt, turn) = (0, None);
                self.wait_until_replayed().await;
            } else {
                let Err(failure) = self.call(batch).await else {
                    return self.succeeded(batch.reports.len());
                };
                let pause = self.retry.pause(attempt, self.failed(&failure));
                attempt += 1;
                tokio::select! {
                    () = sleep(pause) => {}
                    () = self.replay.notified() => {}
                    () = self.wait_until_stopped() => {}
                }
            }
            self.remove_too_old(batch);
        }
    }

    async fn call(&self, batch: &Batch) -> Result<(), Failure> {
        let (id, body) = (batch.id(), batch.body());
        // The time of this attempt, so that an endpoint can refuse old calls.
        let headers = self.signer.headers(&id, unix_ms(SystemTime::now()) / 1000, &body);
        let Reply { status, headers, .. } = self.client.post(headers, body).await?;
        match status.is_success() {
            true => Ok(()),
            false => Err(Failure::Status(status, retry_after(&headers))),
        }
    }

    fn succeeded(&self, reports: usize) {
        if self.breaker.failures() > 0 {
            limited!(INFO, endpoint = printable(&self.name), "webhook endpoint accepts calls again");
        }
        self.breaker.succeeded();
        *self.last_error() = None;
        self.delivered.fetch_add(reports as u64, Ordering::Relaxed);
        self.meters.delivered.increment(reports as u64);
        self.count_call(Ok(()));
    }

    /// Records a failure. Returns the time of `Retry-After`, for which the endpoint must not be called.
    fn failed(&self, failure: &Failure) -> Option<Duration> {
        let error = with_causes(failure);
        self.breaker.failed();
        self.count_call(Err(failure));
        if matches!(failure, Failure::Status(StatusCode::GONE, _)) {
            log_stopped(&self.name);
            self.is_stopped.store(true, Ordering::Relaxed);
            self.stopped.notify_waiters();
        } else {
            limited!(
                WARN,
                endpoint = printable(&self.name),
                error = printable(&error),
                failures = self.breaker.failures(),
                "webhook call failed; it is repeated"
            );
        }
        *self.last_error() = Some(error);
        match failure {
            Failure::Status(_, retry_after) => *retry_after,
            Failure::Call(_) => None,
        }
    }

    fn remove_too_old(&self, batch: &mut Batch) {
        let age_max = u64::try_from(self.age_max.as_millis()).unwrap_or(u64::MAX);
        let removed = batch.remove_older_than(unix_ms(SystemTime::now()).saturating_sub(age_max));
        if removed > 0 {
            self.meters.too_old.increment(removed as u64);
            limited!(
                ERROR,
                endpoint = printable(&self.name),
                reports = removed,
                "webhook endpoint has not accepted reports in time; they are dropped"
            );
        }
    }

    /// The outcome of a call, as in the metrics.
    fn call_outcome(result: Result<(), &Failure>) -> &'static str {
        match result {
            Ok(()) => "success",
            Err(Failure::Status(StatusCode::GONE, _)) => "gone",
            Err(Failure::Status(..)) => "status",
            Err(Failure::Call(error)) => error.label(),
        }
    }

    fn count_call(&self, result: Result<(), &Failure>) {
        let outcome = Endpoint::call_outcome(result);
        counter!("switchboard_webhook_calls_total", "endpoint" => self.name.clone(), "outcome" => outcome)
            .increment(1);
    }

    fn last_error(&self) -> MutexGuard<'_, Option<String>> {
        self.last_error.lock().expect("no code that holds the error panics")
    }

    /// The status, with the backlog that the caller knows.
    pub(crate) fn status(&self, backlog: usize, oldest_ms: u64) -> EndpointStatus {
        let state = match self.breaker.failures() {
            _ if self.is_stopped() => EndpointState::Stopped,
            0 => EndpointState::Delivering,
            _ => EndpointState::Failing,
        };
        EndpointStatus {
            name: self.name.clone(),
            url: self.client.url().split('?').next().unwrap_or_default().into(),
            state,
            delivered: self.delivered.load(Ordering::Relaxed),
            failures: self.breaker.failures(),
            backlog,
            oldest_ms,
            last_error: self.last_error().clone(),
        }
    }
}

fn log_stopped(endpoint: &str) {
    limited!(
        WARN,
        endpoint = printable(endpoint),
        "webhook endpoint answered 410; its reports are kept until a replay or the next start"
    );
}

impl Meters {
    fn new(endpoint: &str) -> Self {
        let lost = |reason: &'static str| counter!("switchboard_webhook_reports_lost_total", "endpoint" => endpoint.to_owned(), "reason" => reason);
        Meters {
            delivered: counter!("switchboard_webhook_reports_total", "endpoint" => endpoint.to_owned()),
            too_old: lost("too_old"),
            queue_full: lost("queue_full"),
        }
    }
}
