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
/// use switchboard::protocols::ProjectRules;
/// use switchboard::{App, Koji, Relay, Socket};
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
    member_list_interval: Duration,
    member_list_bytes_per_s: usize,
    pub(crate) member_list_held_bytes_max: usize,
    pub(crate) ping_interval: Duration,
}

impl Default for KojiSettings {
    fn default() -> Self {
        let rules = Arc::new(ProjectRules::default());
        KojiSettings {
            projects: Arc::new(move |_| Some(rules.clone())),
            has_undefined_project: true,
            member_list_interval: Duration::from_millis(100),
            member_list_bytes_per_s: 256 * 1024,
            member_list_held_bytes_max: 8 * 1024 * 1024,
            ping_interval: Duration::from_secs(25),
        }
    }
}

impl KojiSettings {
    /// The rules of a project; `None` if the project does not exist.
    pub(crate) fn rules(&self, project: &ProjectId) -> Option<Arc<ProjectRules>> {
        (self.projects)(project)
    }

    /// The shortest time between an update of a member list with this many bytes and the next.
    pub(crate) fn member_list_pause(&self, bytes: usize) -> Duration {
        let by_bytes = Duration::from_secs_f64(bytes as f64 / self.member_list_bytes_per_s as f64);
        self.member_list_interval.max(by_bytes)
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
    /// together. After a long list it is longer, see
    /// [`with_member_list_bytes_per_s`](Self::with_member_list_bytes_per_s). Default and maximum: 100 ms.
    pub fn with_member_list_interval(self, interval: Duration) -> Self {
        self.change(|settings| settings.member_list_interval = interval.min(Duration::from_millis(100)))
    }

    /// Sets how many bytes of a shard's member list one client is sent per second on average. After an update the
    /// server gathers changes for as long as its bytes need at this rate. Default: 262,144. Minimum: 1,024.
    pub fn with_member_list_bytes_per_s(self, bytes: usize) -> Self {
        self.change(|settings| settings.member_list_bytes_per_s = bytes.max(1024))
    }

    /// Sets the most bytes of all versions of a shard's member list that its clients are still being sent. Beyond it the
    /// clients with the oldest versions are closed with 1013. By default a client may take 32 s to read a list,
    /// and longer if the list changes seldom. Default: 8,388,608.
    pub fn with_member_list_held_bytes_max(self, bytes: usize) -> Self {
        self.change(|settings| settings.member_list_held_bytes_max = bytes)
    }

    /// Sets the time between two pings of a client. A client that does not answer two consecutive pings is
    /// disconnected. Zero disables pings. Default: 25 s.
    pub fn with_ping_interval(self, interval: Duration) -> Self {
        self.change(|settings| settings.ping_interval = interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_gathered_the_longer_the_more_bytes_the_last_update_had() {
        let pause = |koji: &Koji, bytes| koji.settings.member_list_pause(bytes).as_millis();
        let koji = Koji::new();
        assert_eq!(
            [0, 25_000, 256 * 1024, 10 * 256 * 1024].map(|bytes| pause(&koji, bytes)),
            [100, 100, 1000, 10_000]
        );
        let koji = koji.with_member_list_interval(Duration::ZERO).with_member_list_bytes_per_s(0);
        assert_eq!([0, 1024].map(|bytes| pause(&koji, bytes)), [0, 1000]);
        assert_eq!(pause(&koji.with_member_list_bytes_per_s(usize::MAX), usize::MAX / 2), 500);
    }
}
