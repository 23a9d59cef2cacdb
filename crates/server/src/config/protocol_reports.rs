//! The switch of reports that emit and Koji share; Mesa's has the original's options.

use serde::{Deserialize, Serialize};

/// Whether the actions of a protocol's clients are reported to workers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProtocolReports {
    /// Reports client actions (connected, authenticated, disconnected, messages without a handler) to
    /// workers; needs `redis.url`. Messages of Koji clients are not reported, and only the clients of
    /// `projects.named` are. Default false.
    pub enabled: bool,
}
