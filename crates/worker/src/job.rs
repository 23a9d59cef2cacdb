//! One report in the hands of the application.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use switchboard_backplane::{ClientAction, ClientMessage, ReplyAddress, Report, ReportId};
use switchboard_event::{Payload, PayloadError};

use crate::delivery::Delivery;
use crate::shared::Shared;

/// A report to handle. The next report of the same client is handed out once this job has ended: when it is
/// acknowledged, or when it is dropped. A job that is dropped unacknowledged is handed out again after 1 s.
pub struct Job(pub(crate) Arc<OpenJob>);

/// The state of a job until it ends.
pub(crate) struct OpenJob {
    shared: Arc<Shared>,
    delivery: Delivery,
    acknowledged: AtomicBool,
    replied: AtomicBool,
}

/// Why no reply was sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobReplyError {
    /// The report is not a message, or a message without a request for a reply.
    #[error("the client requested no reply")]
    NotRequested,
    /// The job has been replied to before.
    #[error("a reply was sent before")]
    AlreadyReplied,
    /// The reply cannot be represented as JSON.
    #[error(transparent)]
    Payload(#[from] PayloadError),
}

impl Job {
    pub(crate) fn new(shared: &Arc<Shared>, delivery: Delivery) -> Self {
        let (acknowledged, replied) = (AtomicBool::new(false), AtomicBool::new(false));
        Job(Arc::new(OpenJob { shared: shared.clone(), delivery, acknowledged, replied }))
    }

    /// The client's action, with its sender and time.
    pub fn report(&self) -> &Report {
        &self.0.delivery.report
    }

    /// The client's message, if the report is one.
    pub fn message(&self) -> Option<&ClientMessage> {
        match &self.report().action {
            ClientAction::Message(message) => Some(message),
            _ => None,
        }
    }

    /// The name of the event or the type of the Mesa message; empty if there is none.
    pub fn name(&self) -> &str {
        self.message().and_then(|message| message.kind.as_deref()).unwrap_or_default()
    }

    /// The message's data as `T`. A report that is not a message has the data `null`.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, PayloadError> {
        self.message().map_or(&Payload::NULL, |message| &message.data).to()
    }

    /// The report's id, the same for every delivery of it. The ids of one node increase.
    pub fn id(&self) -> ReportId {
        self.0.delivery.id
    }

    /// Whether the report may have been handed out before, to a worker that died or dropped it. False
    /// guarantees that no worker has handled it.
    pub fn redelivered(&self) -> bool {
        self.0.delivery.redelivered
    }

    /// The next report of the same client, if it is there, without waiting for the acknowledgement of this one: for
    /// handlers that process several reports together. Acknowledge them in their order, or drop all of them.
    pub fn following(&self) -> Option<Job> {
        let delivery = self.0.shared.take_following(&self.0.delivery)?;
        Some(Job::new(&self.0.shared, delivery))
    }

    /// Acknowledges the report, which removes it and hands out the client's next one. The removal is
    /// written asynchronously: if the process ends first, or the client's partition has moved to another
    /// worker, the report is delivered again.
    pub fn ack(self) {
        self.0.ack();
    }

    /// Replies to a client that requested it. One reply per job; the node drops a reply that arrives after
    /// the request's time-out (10 s).
    pub fn reply<T: Serialize + ?Sized>(&self, data: &T) -> Result<(), JobReplyError> {
        self.0.reply(Payload::of(data)?)
    }

    /// Replies with an error: `{"error":message,"code":code}`.
    pub fn reply_error(&self, code: &str, message: &str) -> Result<(), JobReplyError> {
        self.reply(&json!({ "error": message, "code": code }))
    }
}

impl OpenJob {
    /// Acknowledges the report; repeated calls have no effect.
    pub(crate) fn ack(&self) {
        if !self.acknowledged.swap(true, Ordering::Relaxed) {
            self.shared.acknowledge(&self.delivery);
        }
    }

    pub(crate) fn id(&self) -> ReportId {
        self.delivery.id
    }

    fn reply_address(&self) -> Option<&ReplyAddress> {
        match &self.delivery.report.action {
            ClientAction::Message(message) => message.reply_to.as_ref(),
            _ => None,
        }
    }

    fn reply(&self, data: Payload) -> Result<(), JobReplyError> {
        let to = self.reply_address().ok_or(JobReplyError::NotRequested)?;
        if self.replied.swap(true, Ordering::Relaxed) {
            return Err(JobReplyError::AlreadyReplied);
        }
        self.shared.reply(to.clone(), data);
        Ok(())
    }
}

impl Drop for OpenJob {
    fn drop(&mut self) {
        if !*self.acknowledged.get_mut() {
            self.shared.give_back(self.delivery.clone());
        }
    }
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "job {} of {:?}", self.id(), self.report())
    }
}
