//! Workers: processes outside the nodes that handle the actions of clients, at least once and in the order of
//! each client.
//!
//! ```no_run
//! use switchboard_worker::{Job, Worker, WorkerOptions};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let worker = Worker::connect("redis://127.0.0.1:6379", WorkerOptions::new("chat".try_into()?)).await?;
//! worker
//!     .run(async |job: Job| match job.name() {
//!         // The reply goes to the emit client that sent the request.
//!         "/sum" => match job.data::<Vec<f64>>() {
//!             Ok(numbers) => drop(job.reply(&numbers.iter().sum::<f64>())),
//!             Err(error) => drop(job.reply_error("bad_data", &error.to_string())),
//!         },
//!         _ => println!("{:?} did {:?}", job.report().user, job.report().action),
//!     })
//!     .await;
//! # Ok(()) }
//! ```
//!
//! Nodes report connects, authentications, disconnects, and the messages that none of their handlers takes.
//! Every worker group receives every report. Within a group, one worker receives all reports of a client as
//! long as it lives, one after the other; different clients do not wait for each other.
//!
//! When a worker dies, or does not renew its lease, its clients move to other workers, and its unacknowledged
//! reports are delivered again: [`Job::redelivered`] marks them, and [`Job::id`] identifies a report.

mod assignment;
mod client_queues;
mod delivery;
mod driver;
mod job;
mod options;
mod outstanding;
mod replies;
mod shared;
mod worker;

pub use job::{Job, JobReplyError};
pub use options::WorkerOptions;
pub use switchboard_backplane::{ClientAction, ClientMessage, Report, ReportId};
pub use switchboard_event::{Name, NameError, Payload, PayloadError, ProjectId, Protocol, SocketId};
pub use switchboard_redis::{ConnectError, Mode, Options as RedisOptions};
pub use worker::Worker;
