//! The Switchboard server: settings, HTTP API, health, metrics and the demo around the framework.
//!
//! It uses the framework's public API only, so an application can do everything that this server does.

pub mod config;
pub mod log;
pub mod metrics;
pub mod run;

mod api;
mod apps;
mod assets;
mod connections;
mod console;
mod figures;
mod front;
mod health;
mod node_answers;
mod reload_handle;
mod tls;
mod version;

pub use apps::Mode;
pub use config::Config;
pub use run::{RunError, Server};
pub use tls::TlsError;
pub use version::Version;
