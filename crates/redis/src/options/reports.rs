//! Options of reports to workers.

use switchboard_event::ProjectId;

#[cfg(feature = "legacy")]
use super::legacy::LegacyPortals;

/// Which client actions are reported, and the bounds of the queues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportOptions {
    /// Projects whose client actions are reported.
    pub projects: Vec<ProjectId>,
    /// Number of partitions that a project's clients are divided into. Default 16. A group has at most
    /// this many workers with something to do. A new value takes effect once the project has no group.
    pub partitions: u16,
    /// Maximum number of reports in one partition of one group. Default 100,000. At the bound the oldest is dropped.
    pub backlog_max: u64,
    /// Maximum number of bytes of reports queued on this node. Default 16 MiB. At the bound a new report is dropped.
    pub bytes_max: usize,
    /// Original Mesa Portals that receive reports as well. Default none.
    #[cfg(feature = "legacy")]
    pub legacy_portals: Option<LegacyPortals>,
}

impl ReportOptions {
    /// Options for one project, with defaults for everything else.
    pub fn of(project: &ProjectId) -> Self {
        ReportOptions {
            projects: vec![project.clone()],
            partitions: 16,
            backlog_max: 100_000,
            bytes_max: 16 * 1024 * 1024,
            #[cfg(feature = "legacy")]
            legacy_portals: None,
        }
    }
}
