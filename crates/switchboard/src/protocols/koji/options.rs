//! The options of a Koji endpoint.

use std::sync::Arc;
use std::time::Duration;

use switchboard_event::ProjectId;

use crate::protocols::endpoint::Endpoint;
use crate::protocols::koji::rules::ProjectRules;

/// Says what holds in a project, if there is such a project.
type Projects = dyn Fn(&ProjectId) -> Option<Arc<ProjectRules>> + Send + Sync;

/// The Koji door of an app: given with [`App::with_koji`](crate::App::with_koji).
///
/// Clients connect to `/` with `projectId` in the query, or to `/koji`. What they emit is relayed to
/// their shard, unless the door has a handler for it.
///
/// ```
/// use switchboard::{App, Koji, ProjectRules, Relay, Socket};
///
/// async fn tapped(socket: Socket, relay: Relay) {
///     println!("{} tapped on {:?}", socket.id(), socket.shard());
///     relay.send();
/// }
///
/// let small = ProjectRules { capacity_max: 20, ..ProjectRules::default() };
/// let app = App::new().with_koji(Koji::new().with_rules(small).on("new_tap", tapped));
/// ```
pub type Koji = Endpoint<KojiSettings>;

/// The settings of a Koji endpoint; [`Koji`] sets them.
#[derive(Clone)]
pub struct KojiSettings {
    projects: Arc<Projects>,
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
    /// The rules of a project; `None` if there is no such project.
    pub(crate) fn rules(&self, project: &ProjectId) -> Option<Arc<ProjectRules>> {
        (self.projects)(project)
    }
}

impl Koji {
    /// An endpoint that allows every project, with the default [`ProjectRules`] and no handlers.
    pub fn new() -> Self {
        Koji::default()
    }

    fn change(mut self, change: impl FnOnce(&mut KojiSettings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }

    /// Sets the rules of all projects.
    pub fn with_rules(self, rules: ProjectRules) -> Self {
        let rules = Arc::new(rules);
        self.with_projects(move |_| Some(rules.clone()))
    }

    /// Says which projects there are and what holds in each; `None` refuses the handshake with 403.
    /// Called for every handshake and every question about a project, so it must not wait.
    pub fn with_projects(
        self,
        projects: impl Fn(&ProjectId) -> Option<Arc<ProjectRules>> + Send + Sync + 'static,
    ) -> Self {
        self.change(|settings| settings.projects = Arc::new(projects))
    }

    /// Whether a client without a `projectId` is of the project `undefined`, as some old apps need.
    /// Default true; else it is refused with 400.
    pub fn with_undefined_project(self, undefined: bool) -> Self {
        self.change(|settings| settings.has_undefined_project = undefined)
    }

    /// How long changes of who is there are gathered before they are told. Default, and most,
    /// 100 ms; a change after a quiet time is told at once.
    pub fn with_member_list_interval(self, gather: Duration) -> Self {
        self.change(|settings| settings.member_list_interval = gather.min(Duration::from_millis(100)))
    }

    /// How often a client is pinged; one that two pings in a row bring no sign of is cut. Default
    /// 25 s; zero means never.
    pub fn with_ping_interval(self, interval: Duration) -> Self {
        self.change(|settings| settings.ping_interval = interval)
    }
}
