//! One backend: it bounds the calls that wait for it, and fails fast while it does not answer.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use metrics::{Gauge, Histogram, counter, gauge, histogram};
use switchboard::{ProjectId, ReplyError};
use switchboard_event::unix_ms;
use switchboard_log::{limited, printable, printable_error};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::answer::{Answer, AnswerShapeError};
use super::call::ExecuteError;
use super::options::{HandlerError, HandlerOptions, OnFailure};
use super::question::Question;
use crate::outgoing::{CallError, OutgoingClient};
use crate::signature::Signer;

/// Calls in a row without a response, after which further ones fail at once.
const FAILURES_MAX: u32 = 5;

/// How long calls then fail at once before another one tries.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Backend {
    options: HandlerOptions,
    client: OutgoingClient,
    signer: Signer,
    permits: Semaphore,
    silence: Mutex<Silence>,
    meters: Meters,
}

/// Calls without a response.
#[derive(Default)]
struct Silence {
    failures: u32,
    next_attempt: Option<Instant>,
}

struct Meters {
    in_flight: Gauge,
    duration: Histogram,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("the backend has not answered the last calls; this one was not made")]
    Silent,
    #[error("too many calls wait for the backend")]
    Busy,
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the backend answered with status {0}")]
    Status(http::StatusCode),
    #[error(transparent)]
    Shape(#[from] AnswerShapeError),
}

impl AskError {
    /// The reply to the client.
    pub(super) fn reply(&self) -> ReplyError {
        match self {
            AskError::Busy | AskError::Call(CallError::Timeout(_)) => {
                ReplyError::new("timeout", "the backend did not answer in time")
            }
            _ => ReplyError::new("unavailable", "the backend cannot answer now"),
        }
    }
}

impl Backend {
    pub(super) fn new(options: &HandlerOptions) -> Result<Self, HandlerError> {
        let backend = || options.name.clone();
        let client = OutgoingClient::new(&options.url, options.outgoing.clone())
            .map_err(|source| HandlerError::Url { backend: backend(), source })?;
        let signer = Signer::new(options.secrets.iter().map(String::as_str))
            .map_err(|source| HandlerError::Secret { backend: backend(), source })?;
        Ok(Backend {
            client,
            signer,
            permits: Semaphore::new(options.in_flight_max),
            silence: Mutex::default(),
            meters: Meters {
                in_flight: gauge!("switchboard_http_handler_calls", "backend" => backend()),
                duration: histogram!("switchboard_http_handler_duration_seconds", "backend" => backend()),
            },
            options: options.clone(),
        })
    }

    pub(super) fn takes_events(&self) -> bool {
        !self.options.events.is_empty()
    }

    pub(super) fn takes_connects(&self) -> bool {
        self.options.decides_connects
    }

    pub(super) fn takes_project(&self, project: &ProjectId) -> bool {
        self.options.projects.as_ref().is_none_or(|projects| projects.contains(project))
    }

    pub(super) fn takes(&self, project: &ProjectId, event: &str) -> bool {
        self.options.events.iter().any(|pattern| pattern.matches(event)) && self.takes_project(project)
    }

    pub(super) fn headers(&self) -> &[String] {
        &self.options.headers
    }

    pub(super) fn allows_on_failure(&self) -> bool {
        self.options.on_failure == OnFailure::Allow
    }

    /// Asks the backend. A failure is counted and logged.
    pub(super) async fn ask(&self, question: &Question<'_>) -> Result<Answer, AskError> {
        let asked = self.call(question).await;
        let outcome = Backend::outcome(&asked);
        let name = &self.options.name;
        counter!("switchboard_http_handler_calls_total", "backend" => name.clone(), "outcome" => outcome)
            .increment(1);
        asked.inspect_err(|error| {
            limited!(
                WARN,
                backend = printable(name),
                error = printable_error(error),
                "backend has not answered; its setting on_failure decides about the event"
            );
        })
    }

    /// The outcome of a call, as in the metrics.
    fn outcome(asked: &Result<Answer, AskError>) -> &'static str {
        match asked {
            Ok(_) => "success",
            Err(AskError::Silent) => "silent",
            Err(AskError::Busy) => "busy",
            Err(AskError::Status(_)) => "status",
            Err(AskError::Shape(_)) => "invalid",
            Err(AskError::Call(error)) => error.label(),
        }
    }

    async fn call(&self, question: &Question<'_>) -> Result<Answer, AskError> {
        if !self.may_try() {
            return Err(AskError::Silent);
        }
        let permit = timeout(self.options.outgoing.timeout, self.permits.acquire()).await;
        let _permit = permit.map_err(|_| AskError::Busy)?.expect("the semaphore is never closed");
        let body: Bytes = serde_json::to_vec(question).expect("texts and payloads are JSON").into();
        let id = format!("call-{:016x}", rand::random::<u64>());
        let headers = self.signer.headers(&id, unix_ms(SystemTime::now()) / 1000, &body);
        self.meters.in_flight.increment(1.0);
        let began = Instant::now();
        let reply = self.client.post(headers, body).await;
        self.meters.in_flight.decrement(1.0);
        self.meters.duration.record(began.elapsed().as_secs_f64());
        self.record(reply.is_ok());
        let reply = reply?;
        match reply.status.is_success() {
            true => Ok(Answer::parse(&reply.body)?),
            false => Err(AskError::Status(reply.status)),
        }
    }

    /// Logs a call of an answer that cannot be executed. Returns the reply to the client.
    pub(super) fn invalid_call(&self, error: &ExecuteError) -> ReplyError {
        limited!(
            ERROR,
            backend = printable(&self.options.name),
            error = printable_error(error),
            "backend ordered a call that cannot be executed; its client receives an error"
        );
        ReplyError::new("unavailable", "the backend cannot answer now")
    }

    fn silence(&self) -> MutexGuard<'_, Silence> {
        self.silence.lock().expect("no code that holds the counter panics")
    }

    /// Returns false while the backend is silent. One call in each pause may try.
    fn may_try(&self) -> bool {
        let (mut silence, now) = (self.silence(), Instant::now());
        if silence.failures < FAILURES_MAX {
            return true;
        }
        let may_try = silence.next_attempt.is_none_or(|next| next <= now);
        if may_try {
            silence.next_attempt = Some(now + PAUSE);
        }
        may_try
    }

    fn record(&self, has_answered: bool) {
        let mut silence = self.silence();
        if has_answered {
            *silence = Silence::default();
        } else {
            silence.failures = silence.failures.saturating_add(1);
            silence.next_attempt = Some(Instant::now() + PAUSE);
        }
    }
}
