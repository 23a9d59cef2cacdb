//! The Mesa door: clients show who their user is, hear what is dispatched to them, and say things
//! that other processes take. What goes over the wire: `spec/mesa.md`.

mod client;
mod frames;
mod heartbeat;
mod login;

use std::time::Duration;

use switchboard_event::ProjectId;

use crate::routing::handler::Handler;
use crate::routing::middleware::Middleware;
use crate::routing::router::Router;

pub(crate) use client::{Client, greeting};
pub(crate) use frames::receive;
pub(crate) use heartbeat::beat;
pub(crate) use login::expect_login;

/// A door for Mesa clients.
///
/// They connect to [its path](MesaSettings::path), or to any path of a listener that is [theirs
/// alone](crate::App::for_mesa_only). Messages go to the handler of their type, `t`.
///
/// ```
/// use switchboard::{App, Data, Mesa, Socket};
///
/// async fn ping(socket: Socket, Data(data): Data<serde_json::Value>) {
///     println!("{:?} says {data}", socket.user());
/// }
///
/// let app = App::new().with_mesa(Mesa::new().on("PING", ping));
/// ```
#[derive(Clone, Default)]
pub struct Mesa {
    pub(crate) router: Router,
    pub(crate) settings: MesaSettings,
}

/// How a Mesa door behaves.
///
/// ```
/// use std::time::Duration;
/// use switchboard::MesaSettings;
///
/// let settings = MesaSettings { reconnect_interval: Some(Duration::from_secs(5)), ..Default::default() };
/// ```
#[derive(Debug, Clone)]
pub struct MesaSettings {
    /// The path at which clients connect, and below it; default `/mesa`. With `/` no other door is open.
    pub path: String,
    /// The project of its clients; default the app's own.
    pub project: Option<ProjectId>,
    /// How often a client is asked whether it is there; default never. Without it, WebSocket pings find
    /// those who are gone.
    pub heartbeat_interval: Option<Duration>,
    /// How often in a row it may not answer before it is closed; default 3.
    pub heartbeat_attempts_max: u32,
    /// After how long clients are told to connect again; default they are not, and do not.
    pub reconnect_interval: Option<Duration>,
    /// How long clients are told that they have for showing a token; default 10 s.
    pub authentication_timeout: Duration,
    /// Whether a client without an accepted token is closed after that time; default false.
    pub authentication_required: bool,
    /// How long to wait between two of the messages that a user has missed; default not at all.
    pub redelivery_interval: Duration,
    /// The version that clients have to be of, such as `1.5.8`: hello asks them which they are, and one that
    /// says another is closed with 1002. Default none.
    pub enforces_version: Option<String>,
    /// Whether clients are told to store messages; default false.
    pub stores_messages: bool,
    /// Whether a client is shown its user object; default true.
    pub sends_user_object: bool,
    /// Whether a client is closed when its token is refused; default true.
    pub closes_on_refusal: bool,
}

impl Default for MesaSettings {
    fn default() -> Self {
        MesaSettings {
            path: "/mesa".into(),
            project: None,
            heartbeat_interval: None,
            heartbeat_attempts_max: 3,
            reconnect_interval: None,
            authentication_timeout: Duration::from_secs(10),
            authentication_required: false,
            redelivery_interval: Duration::ZERO,
            enforces_version: None,
            stores_messages: false,
            sends_user_object: true,
            closes_on_refusal: true,
        }
    }
}

impl Mesa {
    /// A door with the default settings and no handlers.
    ///
    /// ```
    /// use switchboard::{App, Mesa};
    ///
    /// let app = App::new().with_mesa(Mesa::new());
    /// ```
    pub fn new() -> Self {
        Mesa::default()
    }

    /// Sets how it behaves.
    ///
    /// ```
    /// use switchboard::{Mesa, MesaSettings};
    ///
    /// let strict = MesaSettings { authentication_required: true, ..MesaSettings::default() };
    /// let mesa = Mesa::new().with_settings(strict);
    /// ```
    pub fn with_settings(mut self, settings: MesaSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Sets the handler of a message type; also of the system events, such as `@connection`.
    ///
    /// ```
    /// use switchboard::{Mesa, Socket};
    ///
    /// let mesa = Mesa::new().on("@disconnect", async |socket: Socket| println!("{} left", socket.id()));
    /// ```
    pub fn on<Args: 'static>(mut self, event: &str, handler: impl Handler<Args>) -> Self {
        self.router = self.router.on(event, handler);
        self
    }

    /// Adds middleware in front of every handler of this door.
    ///
    /// ```
    /// use switchboard::{Mesa, Next, Request, Response};
    ///
    /// async fn log(request: Request, next: Next) -> Response {
    ///     println!("{}", request.event());
    ///     next.run(request).await
    /// }
    /// let mesa = Mesa::new().middleware(log);
    /// ```
    pub fn middleware(mut self, middleware: impl Middleware) -> Self {
        self.router = self.router.middleware(middleware);
        self
    }

    /// Whether a handshake to this path is for this door.
    pub(crate) fn is_asked_for(&self, path: &str) -> bool {
        let below = path.strip_prefix(self.settings.path.trim_end_matches('/'));
        below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_door_is_at_its_path_and_below_it() {
        let is_asked_for = |door: &str, path: &str| {
            let settings = MesaSettings { path: door.into(), ..MesaSettings::default() };
            Mesa::new().with_settings(settings).is_asked_for(path)
        };
        for path in ["/mesa", "/mesa/", "/mesa/any"] {
            assert!(Mesa::new().is_asked_for(path), "{path}");
        }
        for (door, path) in
            [("/gate/way", "/gate/way"), ("/gate/way/", "/gate/way/x"), ("/", "/"), ("/", "/any")]
        {
            assert!(is_asked_for(door, path), "{path} of {door}");
        }
        for (door, path) in [("/mesa", "/"), ("/mesa", "/mesas"), ("/mesa", "/a/mesa"), ("/gate", "/mesa")] {
            assert!(!is_asked_for(door, path), "{path} of {door}");
        }
    }
}
