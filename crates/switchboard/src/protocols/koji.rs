//! The Koji door: pages without a backend are put on a shard, see who is there, and emit to all of
//! it or to some. What goes over the wire: `spec/koji.md`.

mod described;
mod frames;
mod info;
mod member_lists;
pub(crate) mod relay;
mod rules;
mod shard;
mod ticket;

use std::sync::Arc;
use std::time::Duration;

use switchboard_event::ProjectId;

use crate::routing::handler::Handler;
use crate::routing::middleware::Middleware;
use crate::routing::router::Router;

pub(crate) use frames::{identify, receive};
pub(crate) use info::routes;
pub(crate) use member_lists::Rosters;
pub use rules::ProjectRules;
pub use shard::ShardClient;
pub(crate) use shard::{Client, Place, take_seat};
pub(crate) use ticket::{Ticket, TicketError};

/// Longest frame of a client, in bytes; above it the connection closes with 1009.
pub(crate) const FRAME_BYTES_MAX: usize = 512 * 1024;

/// Pings without an answer after which a client is cut.
pub(crate) const MISSES_MAX: u8 = 2;

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
#[derive(Clone)]
pub struct Koji {
    pub(crate) router: Router,
    projects: Arc<Projects>,
    pub(crate) undefined: bool,
    pub(crate) gather: Duration,
    pub(crate) ping_interval: Duration,
}

impl Default for Koji {
    fn default() -> Self {
        Koji::new()
    }
}

impl Koji {
    /// A door for every project there may be, with the default [`ProjectRules`].
    pub fn new() -> Self {
        Koji {
            router: Router::new(),
            projects: Arc::new(|_| None),
            undefined: true,
            gather: Duration::from_millis(100),
            ping_interval: Duration::from_secs(25),
        }
        .with_rules(ProjectRules::default())
    }

    /// Sets the rules of all projects.
    pub fn with_rules(self, rules: ProjectRules) -> Self {
        let rules = Arc::new(rules);
        self.with_projects(move |_| Some(rules.clone()))
    }

    /// Says which projects there are and what holds in each; `None` refuses the handshake with 403.
    /// Called for every handshake and every question about a project, so it must not wait.
    pub fn with_projects(
        mut self,
        projects: impl Fn(&ProjectId) -> Option<Arc<ProjectRules>> + Send + Sync + 'static,
    ) -> Self {
        self.projects = Arc::new(projects);
        self
    }

    /// Whether a client without a `projectId` is of the project `undefined`, as some old apps need.
    /// Default true; else it is refused with 400.
    pub fn with_undefined_project(mut self, undefined: bool) -> Self {
        self.undefined = undefined;
        self
    }

    /// How long changes of who is there are gathered before they are told. Default, and most,
    /// 100 ms; a change after a quiet time is told at once.
    pub fn with_gather(mut self, gather: Duration) -> Self {
        self.gather = gather.min(Duration::from_millis(100));
        self
    }

    /// How often a client is pinged; one that two pings in a row bring no sign of is cut. Default
    /// 25 s; zero means never.
    pub fn with_ping_interval(mut self, interval: Duration) -> Self {
        self.ping_interval = interval;
        self
    }

    /// Handles an event of clients in place of relaying it; take a [`Relay`](crate::Relay) to pass it
    /// on. Also the system events, for the sockets of this door; see [`Router::on`].
    pub fn on<Args: 'static>(mut self, event: &str, handler: impl Handler<Args>) -> Self {
        self.router = self.router.on(event, handler);
        self
    }

    /// Puts a middleware in front of every handler and every relay: what it does not let through is
    /// relayed to nobody.
    pub fn middleware(mut self, middleware: impl Middleware) -> Self {
        self.router = self.router.middleware(middleware);
        self
    }

    pub(crate) fn rules(&self, project: &ProjectId) -> Option<Arc<ProjectRules>> {
        (self.projects)(project)
    }
}
