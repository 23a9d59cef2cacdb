//! The places at which other servers on the same Redis can take part: one hook per feature.

use std::sync::Arc;

use crate::bus::BusBridge;
use crate::inbox::ForeignInbox;
use crate::reports::DirectReceivers;
use crate::store::PresenceMirror;

/// Hooks of a node. Without other servers all are `None`.
#[derive(Default)]
pub(crate) struct Hooks {
    pub(crate) bus: Option<Arc<dyn BusBridge>>,
    pub(crate) store: Option<Arc<dyn PresenceMirror>>,
    pub(crate) inbox: Option<Arc<dyn ForeignInbox>>,
    pub(crate) reports: Option<Arc<dyn DirectReceivers>>,
}
