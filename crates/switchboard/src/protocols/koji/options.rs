//! The settings of a Koji endpoint.

use std::sync::Arc;
use std::time::Duration;

use switchboard_event::ProjectId;

use crate::protocols::endpoint::Endpoint;
use crate::protocols::koji::rules::ProjectRules;

/// Returns the rules of a project; `None` if the project does not exist.
type RulesByProject = dyn Fn(&ProjectId) -> Option<Arc<ProjectRules>> + Send + Sync;

/// An endpoint for clients of the Koji protocol; [`App::with_koji`](crate::App::with_koji) adds it.
///
/// Clients connect to `/koji`, or to `/` with `projectId` in the query, and take a seat on a shard. Their
/// events are relayed to the shard, except events for which the endpoint has a handler.
///
/// ```
/// use switchboard::{App, Koji, ProjectRules, Relay, Socket};
///
/// async fn new_tap(socket: Socket, relay: Relay) {
///     println!("new tap of {} on {:?}", socket.id(), socket.shard());
///     relay.send();
/// }
///
/// let small = ProjectRules { capacity_max: 20, ..ProjectRules::default() };
/// let app = App::new().with_koji(Koji::new().with_rules(small).on("new_tap", new_tap));
/// ```
pub type Koji = Endpoint<KojiSettings>;

/// The settings of a Koji endpoint; the methods of [`Koji`] set them.
#[derive(Clone)]
pub struct KojiSettings {
    projects: Arc<RulesByProject>,
    pub(crate) has_undefined_project: bool,
    pub(crate) member_list_interval: Duration,
    pub(crate) ping_interval: Duration,
}

impl Default for KojiSettings {
    fn default() -> Self {
        let rules = Arc::new(ProjectRules::default());
        KojiSettings {
            projects: Arc::new(move |_| Some(rules.clone())),
            has_undefined_project: true,
            member_list_interval: Duration::from_millis(100),
            ping_interval: Duration::from_secs(25),
        }
    }
}

impl KojiSettings {
    /// The rules of a project; `None` if the project does not exist.
    pub(crate) fn rules(&self, project: &ProjectId) -> Option<Arc<ProjectRules>> {
        (self.projects)(project)
    }
}

impl Koji {
    /// Creates an endpoint without handlers that accepts every project with the default
    /// [`ProjectRules`].
    ///
    /// ```
    /// use switchboard::Koji;
    ///
    /// let koji = Koji::new().with_ping_interval(std::time::Duration::from_secs(10));
    /// ```
    pub fn new() -> Self {
        Koji::default()
    }

    fn change(mut self, change: impl FnOnce(&mut KojiSettings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }

    /// Sets the rules of all projects. Default: [`ProjectRules::default`].
    pub fn with_rules(self, rules: ProjectRules) -> Self {
        let rules = Arc::new(rules);
        self.with_projects(move |_| Some(rules.clone()))
    }

    /// Sets the function that returns the rules of a project. If it returns `None`, the handshake is refused
    /// with 403. It is called for every handshake and query of a project, so it must not block.
    pub fn with_projects(
        self,
        projects: impl Fn(&ProjectId) -> Option<Arc<ProjectRules>> + Send + Sync + 'static,
    ) -> Self {
        self.change(|settings| settings.projects = Arc::new(projects))
    }

    /// Sets whether a client without a `projectId` joins the project `undefined`, as some old apps expect.
    /// Otherwise its handshake is refused with 400. Default: true.
    pub fn with_undefined_project(self, enabled: bool) -> Self {
        self.change(|settings| settings.has_undefined_project = enabled)
    }

    /// Sets the shortest time between two updates of a shard's member list. Changes within it are sent
    /// together. Default and maximum: 100 ms.
    pub fn with_member_list_interval(self, interval: Duration) -> Self {
        self.change(|settings| settings.member_list_interval = interval.min(Duration::from_millis(100)))
    }

    /// Sets the time between two pings of a client. A client that does not answer two consecutive pings is
    /// disconnected. Zero disables pings. Default: 25 s.
    pub fn with_ping_interval(self, interval: Duration) -> Self {
        self.change(|settings| settings.ping_interval = interval)
    }
}
