//! The bridges to original servers: emit.gg and Mesa servers that use the same Redis as the Switchboard nodes. Bus,
//! store, inbox and reports each define the interface of their bridge; the module `legacy` implements them.

use std::sync::Arc;

use crate::bus::BusBridge;
use crate::inbox::InboxBridge;
use crate::reports::DirectReceivers;
use crate::store::PresenceMirror;

/// The bridges of a node. Without original servers all are `None`.
#[derive(Default)]
pub(crate) struct Bridges {
    pub(crate) bus: Option<Arc<dyn BusBridge>>,
    pub(crate) store: Option<Arc<dyn PresenceMirror>>,
    pub(crate) inbox: Option<Arc<dyn InboxBridge>>,
    pub(crate) reports: Option<Arc<dyn DirectReceivers>>,
}
