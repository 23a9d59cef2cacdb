//! The applications that the binary contains.

mod demo;
mod fields;
mod rooms;

use switchboard::App;

use crate::config::{Access, Config};

/// The application that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Rooms for clients without server code of their own.
    Serve,
    /// The demo: a handler for every feature of the framework, and its pages.
    Demo,
}

impl Mode {
    /// The command that runs it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mode::Serve => "serve",
            Mode::Demo => "demo",
        }
    }

    /// The settings with which the application runs: the demo is open, unless the settings say otherwise.
    pub(crate) fn adapt(self, config: Config) -> Config {
        match self {
            Mode::Serve => config,
            Mode::Demo => Config { access: config.access.or(Some(Access::Open)), ..config },
        }
    }

    /// Adds the application's handlers to an app.
    pub fn install(self, app: App) -> App {
        match self {
            Mode::Serve => app.merge(rooms::router()),
            Mode::Demo => app.plugin(demo::install),
        }
    }
}
