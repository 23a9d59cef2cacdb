//! One report in the hands of who works on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use switchboard_event::{Payload, PayloadError};
use switchboard_hub::portal::{AnswerTo, ReportId};
use switchboard_hub::{Deed, Report, Said};

use crate::desk::Task;
use crate::driver::Shared;

/// A report to work on. Nothing else of its client is handed out until it is over: acknowledged, or
/// dropped, which gives it back. What was given back is handed out again after a second.
pub struct Job(pub(crate) Arc<Held>);

/// A report that was handed out.
pub(crate) struct Held {
    shared: Arc<Shared>,
    task: Task,
    over: AtomicBool,
    answered: AtomicBool,
}

/// Why a client gets no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobReplyError {
    /// It did not ask: it is no message, or one that wants no reply.
    #[error("the client waits for no answer")]
    NotRequested,
    /// It was answered already.
    #[error("the client was answered already")]
    AlreadyReplied,
    /// JSON cannot hold the answer.
    #[error(transparent)]
    Payload(#[from] PayloadError),
}

impl Job {
    pub(crate) fn new(shared: &Arc<Shared>, task: Task) -> Self {
        let (over, answered) = (AtomicBool::new(false), AtomicBool::new(false));
        Job(Arc::new(Held { shared: shared.clone(), task, over, answered }))
    }

    /// What the client did.
    pub fn report(&self) -> &Report {
        &self.0.task.report
    }

    /// What the client said, if that is what it did.
    pub fn said(&self) -> Option<&Said> {
        match &self.report().deed {
            Deed::Message(said) => Some(said),
            _ => None,
        }
    }

    /// The event's name or the message's type; empty if there is none.
    pub fn name(&self) -> &str {
        self.said().and_then(|said| said.kind.as_deref()).unwrap_or_default()
    }

    /// What the client said, in the shape of `T`; of what is no message, `null`.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, PayloadError> {
        self.said().map_or(&Payload::NULL, |said| &said.data).to()
    }

    /// Which report it is: the same however often it is handed out, to whomever. Numbers of one node
    /// grow.
    pub fn id(&self) -> ReportId {
        self.0.task.id
    }

    /// Whether somebody may have worked on it before and died, or given it back. Otherwise nobody has.
    pub fn redelivered(&self) -> bool {
        self.0.task.redelivered
    }

    /// It is done: it waits no more, and the next of its client is handed out. Written soon; if this
    /// process ends before, or has lost the client to another worker, it is handed out again.
    pub fn ack(self) {
        self.0.ack();
    }

    /// Answers a client that waits, with the node between: once, and within the time of a request
    /// (10 s), else nobody hears it.
    pub fn reply<T: Serialize + ?Sized>(&self, data: &T) -> Result<(), JobReplyError> {
        self.0.answer(Payload::of(data)?)
    }

    /// Answers with a refusal: `{"error":message,"code":code}`.
    pub fn reply_error(&self, code: &str, message: &str) -> Result<(), JobReplyError> {
        self.reply(&json!({ "error": message, "code": code }))
    }
}

impl Held {
    /// Does nothing the second time.
    pub(crate) fn ack(&self) {
        if !self.over.swap(true, Ordering::Relaxed) {
            self.shared.finish(&self.task);
        }
    }

    pub(crate) fn task(&self) -> &Task {
        &self.task
    }

    fn answer_to(&self) -> Option<&AnswerTo> {
        match &self.task.report.deed {
            Deed::Message(said) => said.answer_to.as_ref(),
            _ => None,
        }
    }

    fn answer(&self, data: Payload) -> Result<(), JobReplyError> {
        let to = self.answer_to().ok_or(JobReplyError::NotRequested)?;
        if self.answered.swap(true, Ordering::Relaxed) {
            return Err(JobReplyError::AlreadyReplied);
        }
        self.shared.answer(to.clone(), data);
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !*self.over.get_mut() {
            self.shared.give_back(self.task.clone());
        }
    }
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "work {} on {:?}", self.id(), self.report())
    }
}
