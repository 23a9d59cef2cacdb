//! The Switchboard server as a product: configuration, demo, health, metrics.
//!
//! Built on the framework's public API alone: whatever this server does, an app of your own can.

pub mod config;
pub mod run;

mod api;
mod apps;
mod assets;
mod health;
mod metrics;

pub use apps::Mode;
pub use config::Config;
pub use run::{RunError, run};
