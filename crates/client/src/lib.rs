//! A Rust client for Switchboard, and for every server that speaks emit.
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
//! A connection has one task, the driver; it ends when the last [`Client`] is dropped. Listeners
//! are called by the driver in the order of the frames, so they must not wait.
//!
//! `wss://` addresses need the feature `tls`, which is on by default.

mod backoff;
mod client;
mod driver;
mod error;
mod listeners;
mod options;
mod pending;
mod reader;
mod tls;

pub use client::{Client, Namespace};
pub use error::{ConnectError, EmitError, RequestError};
pub use listeners::Subscription;
pub use options::Options;
pub use switchboard_event::{Payload, PayloadError};
