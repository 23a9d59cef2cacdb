//! Sends messages to users, rooms, tags and everyone from any process: a web backend, a job, a script.
//!
//! The dispatcher and the Switchboard nodes share a Redis deployment and need not know each other's addresses. A
//! message reaches the sockets of every protocol on every node.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use serde_json::json;
//! use switchboard_dispatcher::{Dispatcher, Message};
//!
//! let dispatcher = Dispatcher::connect("redis://127.0.0.1:6379").await?;
//! let status = Message::new(0, &json!({ "status": "online" }), "STATUS_UPDATE")?;
//! dispatcher.dispatch(&status, &["0", "1"]).await?;
//! # Ok(()) }
//! ```
//!
//! A dispatcher is not a node: it holds no lease, subscribes to nothing, and needs no cleanup when it ends.

mod dispatcher;
mod error;
mod message;
mod options;

pub use dispatcher::{Dispatched, Dispatcher};
pub use error::{ConnectError, DispatchError, MessageError};
pub use message::Message;
pub use options::DispatcherOptions;
pub use switchboard_backplane::InboxLimits;
pub use switchboard_event::{
    Audience, IntoAudience, LatestKey, Name, OverflowPolicy, SocketId, Target, TraceId,
};
pub use switchboard_redis::{Mode, Options as RedisOptions};
