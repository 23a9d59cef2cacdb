//! The bundle of services that makes several nodes one cluster.

use std::sync::Arc;

use crate::bus::Bus;
use crate::history::History;
use crate::inbox::Inbox;
use crate::rates::RateStore;
use crate::report_sink::ReportSink;
use crate::revocations::RevocationStore;
use crate::store::Store;

/// The shared services of one backend, such as Redis.
pub trait Backplane {
    /// Carries publications between nodes.
    fn bus(&self) -> Arc<dyn Bus>;

    /// Holds presence and seats.
    fn store(&self) -> Arc<dyn Store>;

    /// Stores messages for users; none if the inbox is switched off.
    fn inbox(&self) -> Option<Arc<dyn Inbox>> {
        None
    }

    /// Keeps the recent messages of rooms; none if the backend cannot.
    fn history(&self) -> Option<Arc<dyn History>> {
        None
    }

    /// Passes client actions to workers; none if reports are switched off.
    fn report_sink(&self) -> Option<Arc<dyn ReportSink>> {
        None
    }

    /// Sums the counts of all nodes for rate rules; none if each node counts alone.
    fn rate_store(&self) -> Option<Arc<dyn RateStore>> {
        None
    }

    /// Stores revoked tokens; none if they are lost with the process.
    fn revocation_store(&self) -> Option<Arc<dyn RevocationStore>> {
        None
    }
}
