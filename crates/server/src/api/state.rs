//! State of the routes.

use std::sync::Arc;
use std::time::Duration;

use switchboard::App;
use switchboard_hooks::Webhooks;

use super::idempotency::RequestStores;
use super::key::SharedKeys;
use crate::figures::Figures;
use crate::reload_handle::ReloadHandle;

/// The app, the accepted keys, the remembered requests, the way to the settings, the webhooks, and the window of a drain.
pub(super) struct ApiState {
    pub(super) app: App,
    pub(super) keys: Arc<SharedKeys>,
    pub(super) requests: RequestStores,
    pub(super) reload: ReloadHandle,
    /// `None` without endpoints.
    pub(super) webhooks: Option<Arc<Webhooks>>,
    /// The figures of this node.
    pub(super) figures: Arc<Figures>,
    pub(super) drain_window: Duration,
}
