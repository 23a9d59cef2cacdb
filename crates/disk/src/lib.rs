//! Files of a node without Redis: the inbox with users' messages and revoked tokens, the history of rooms
//! ([`DiskHistory`]), and the reports of webhooks.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use switchboard_disk::DiskInbox;
//! use switchboard_event::{Event, Name, Payload, ProjectId, UserId};
//! use switchboard_backplane::{Inbox, InboxLimits};
//!
//! # let directory = switchboard_testkit::Scratch::new();
//! # let path = directory.file("inbox.redb");
//! let inbox = DiskInbox::open(path.as_ref(), InboxLimits::default())?;
//! // An app uses it after `App::with_inbox(Arc::new(inbox))`.
//! let (project, user) = (ProjectId::new("default")?, UserId::new("7")?);
//! let event = Event { name: Name::new("INVITE")?, data: Payload::EMPTY, sender: None, time_ms: 0, trace: None };
//! let stored = inbox.put(&project, &[user], &event).await?; // returns when the message is on disk
//! assert_eq!(stored.inboxes, 1);
//! # Ok(()) }
//! ```
//!
//! The inbox: one thread writes, and one task reports the results. Jobs that arrive during a write form the next
//! transaction, so many concurrent messages share a few writes. An index in memory holds the number and size of
//! every stored message; it is loaded from the file at the start.
//!
//! After a failed write or read the database refuses everything. The writer then opens the file again, with growing
//! pauses, until a write succeeds.

mod apply;
mod check;
mod completion;
mod current_file;
mod error;
mod file;
mod history;
mod inbox;
mod index;
mod job;
mod job_queue;
mod meters;
mod outage;
mod report_file;
mod retained_acks;
mod revocations;
mod shared;
mod writer;

pub use error::OpenError;
pub use history::{DiskHistory, HistoryOpenError};
pub use inbox::DiskInbox;
pub use report_file::{ReportFile, ReportFileError, ReportPlace, StoredReport};
