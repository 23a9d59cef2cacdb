//! The options of a Mesa endpoint.

use std::sync::Arc;
use std::time::Duration;

use switchboard_event::ProjectId;

use crate::protocols::endpoint::Endpoint;

/// An endpoint for Mesa clients.
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
pub type Mesa = Endpoint<MesaSettings>;

/// The settings of a Mesa endpoint.
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

/// Marks an app whose connections are all Mesa clients', whatever their path.
#[derive(Clone)]
pub(crate) struct MesaOnly;

impl MesaSettings {
    /// Whether clients connect at a path.
    pub(crate) fn matches(&self, path: &str) -> bool {
        let below = path.strip_prefix(self.path.trim_end_matches('/'));
        below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
    }
}

impl Mesa {
    /// An endpoint with the default settings and no handlers.
    ///
    /// ```
    /// use switchboard::{App, Mesa};
    ///
    /// let app = App::new().with_mesa(Mesa::new());
    /// ```
    pub fn new() -> Self {
        Mesa::default()
    }

    /// Sets its settings.
    ///
    /// ```
    /// use switchboard::{Mesa, MesaSettings};
    ///
    /// let strict = MesaSettings { authentication_required: true, ..MesaSettings::default() };
    /// let mesa = Mesa::new().with_settings(strict);
    /// ```
    pub fn with_settings(mut self, settings: MesaSettings) -> Self {
        self.settings = Arc::new(settings);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_is_at_its_path_and_below_it() {
        let matches =
            |at: &str, path: &str| MesaSettings { path: at.into(), ..MesaSettings::default() }.matches(path);
        for path in ["/mesa", "/mesa/", "/mesa/any"] {
            assert!(MesaSettings::default().matches(path), "{path}");
        }
        for (at, path) in
            [("/gate/way", "/gate/way"), ("/gate/way/", "/gate/way/x"), ("/", "/"), ("/", "/any")]
        {
            assert!(matches(at, path), "{path} of {at}");
        }
        for (at, path) in [("/mesa", "/"), ("/mesa", "/mesas"), ("/mesa", "/a/mesa"), ("/gate", "/mesa")] {
            assert!(!matches(at, path), "{path} of {at}");
        }
    }
}
