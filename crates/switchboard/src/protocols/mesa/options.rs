//! The settings of a Mesa endpoint.

use std::sync::Arc;
use std::time::Duration;

use switchboard_event::ProjectId;

use crate::protocols::endpoint::Endpoint;
use crate::protocols::path::is_at_or_below;

/// An endpoint for clients of the Mesa protocol; [`App::with_mesa`](crate::App::with_mesa) adds it.
///
/// Clients connect to [`MesaSettings::path`], or to any path of a listener for [Mesa clients
/// only](crate::App::for_mesa_only). The type `t` of a message is the name of its event.
///
/// ```
/// use switchboard::{App, Data, Mesa, Socket};
///
/// async fn ping(socket: Socket, Data(data): Data<serde_json::Value>) {
///     println!("ping of {:?}: {data}", socket.user());
/// }
///
/// let app = App::new().with_mesa(Mesa::new().on("PING", ping));
/// ```
pub type Mesa = Endpoint<MesaSettings>;

/// The settings of a Mesa endpoint.
///
/// ```
/// use std::time::Duration;
/// use switchboard::protocols::MesaSettings;
///
/// let settings = MesaSettings { reconnect_interval: Some(Duration::from_secs(5)), ..Default::default() };
/// ```
#[derive(Debug, Clone)]
pub struct MesaSettings {
    /// The path at which clients connect, including all paths below it. With `/`, the listener accepts no
    /// other protocol. Default: `/mesa`.
    pub path: String,
    /// The project of the clients. Default: `None`, the project of the app.
    pub project: Option<ProjectId>,
    /// Time between two heartbeats. Default: `None`, WebSocket pings detect dead connections instead.
    pub heartbeat_interval: Option<Duration>,
    /// Maximum number of consecutive heartbeats without an answer; after one more the client is closed. Default: 3.
    pub heartbeat_attempts_max: u32,
    /// The reconnect interval that the hello frame announces. Default: `None`, clients do not reconnect.
    pub reconnect_interval: Option<Duration>,
    /// The time in which a client must authenticate, as the hello frame announces it. Default: 10 s.
    pub authentication_timeout: Duration,
    /// Whether a client is closed if no token was accepted within
    /// [`authentication_timeout`](Self::authentication_timeout). Default: false.
    pub authentication_required: bool,
    /// Pause between two messages of a redelivery. Default: zero.
    pub redelivery_interval: Duration,
    /// The version that clients must have, such as `1.5.8`. The hello frame requests the client's version,
    /// and a client with another version is closed with 1002. Default: `None`, any version.
    pub enforces_version: Option<String>,
    /// Whether the hello frame requests that clients store messages. Default: false.
    pub stores_messages: bool,
    /// Whether the answer to an authentication contains the user object. Default: true.
    pub sends_user_object: bool,
    /// Whether a client is closed when its token is refused. Default: true.
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

/// Marks an app whose listener accepts Mesa clients only, at any path.
#[derive(Clone)]
pub(crate) struct MesaOnly;

impl MesaSettings {
    /// Returns true if a path is the endpoint's path or below it.
    pub(crate) fn matches(&self, path: &str) -> bool {
        is_at_or_below(path, &self.path)
    }
}

impl Mesa {
    /// Creates an endpoint with the default settings and without handlers.
    ///
    /// ```
    /// use switchboard::{App, Mesa};
    ///
    /// let app = App::new().with_mesa(Mesa::new());
    /// ```
    pub fn new() -> Self {
        Mesa::default()
    }

    /// Replaces the settings.
    ///
    /// ```
    /// use switchboard::Mesa;
    /// use switchboard::protocols::MesaSettings;
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
    fn an_address_matches_at_the_path_of_the_endpoint_and_below() {
        let matches =
            |at: &str, path: &str| MesaSettings { path: at.into(), ..MesaSettings::default() }.matches(path);
        for path in ["/mesa", "/mesa/", "/mesa/any", "//mesa", "/%6desa"] {
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
