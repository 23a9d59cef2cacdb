//! The hooks for foreign servers: servers other than Switchboard nodes on the same Redis, such as original emit.gg
//! and Mesa servers. Bus, store, inbox and reports have one hook each; the module `legacy` implements them.

use std::sync::Arc;

use crate::bus::BusBridge;
use crate::inbox::ForeignInbox;
use crate::reports::DirectReceivers;
use crate::store::PresenceMirror;

/// Hooks of a node. Without foreign servers all are `None`.
#[derive(Default)]
pub(crate) struct Hooks {
    pub(crate) bus: Option<Arc<dyn BusBridge>>,
    pub(crate) store: Option<Arc<dyn PresenceMirror>>,
    pub(crate) inbox: Option<Arc<dyn ForeignInbox>>,
    pub(crate) reports: Option<Arc<dyn DirectReceivers>>,
}
