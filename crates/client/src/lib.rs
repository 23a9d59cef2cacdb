//! A Rust client for Switchboard and other servers of the emit protocol.
//!
//! ```no_run
//! use serde_json::{Value, json};
//! use switchboard_client::{Client, Options};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect_with("ws://localhost:3000", Options::default().with_reconnect(true)).await?;
//! client.on("message", |data| println!("{data:?}"));
//! let joined: Value = client.request("/join", &json!({ "username": "Ann" })).await?;
//! client.emit("/message", &json!({ "text": "hi" })).await?;
//! client.close().await;
//! # Ok(()) }
//! ```
//!
//! Each client has one task, which ends when its last clone is dropped. The task calls the listeners in the
//! order of the frames, so a listener must not block.
//!
//! `wss://` addresses need the feature `tls`, which is enabled by default.

mod backoff;
mod client;
mod driver;
mod encode;
mod endpoint;
mod error;
mod history;
mod listeners;
mod meter;
mod mover;
mod notice;
mod options;
mod pending;
mod reader;
mod renewal;
mod session;
mod shared;
mod tls;
mod token;

pub use client::{Client, Namespace};
pub use error::{ConnectError, EmitError, NO_HANDLER, RefusedEvent, RequestError};
pub use history::{History, HistoryMessage, HistoryPart, Position};
pub use listeners::Subscription;
pub use options::Options;
pub use switchboard_event::{Payload, PayloadError};
