//! What makes many nodes one.

use std::sync::Arc;

use crate::bus::Bus;
use crate::inbox::Inbox;
use crate::report_sink::ReportSink;
use crate::store::Store;

/// Carries sends between nodes and holds what they share.
pub trait Backplane {
    /// Carries sends.
    fn bus(&self) -> Arc<dyn Bus>;

    /// Holds what nodes share.
    fn store(&self) -> Arc<dyn Store>;

    /// Keeps messages for users; none if they are not to wait.
    fn inbox(&self) -> Option<Arc<dyn Inbox>> {
        None
    }

    /// Reports to other processes what clients do; none if it is nobody's matter.
    fn report_sink(&self) -> Option<Arc<dyn ReportSink>> {
        None
    }
}
