//! The applications the binary brings along.

mod demo;
mod relay;

use switchboard::App;

/// Which application runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Rooms for clients that bring no server code of their own.
    Serve,
    /// The demo: every feature of the framework to touch, and a page to do it with.
    Demo,
}

impl Mode {
    /// The application's handlers.
    pub fn install(self, app: App) -> App {
        match self {
            Mode::Serve => app.merge(relay::router()),
            Mode::Demo => app.plugin(demo::install),
        }
    }
}
