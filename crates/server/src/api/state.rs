//! State of the routes.

use std::sync::Arc;

use switchboard::App;

use super::idempotency::RequestStores;
use super::key::SharedKeys;
use crate::reload_handle::ReloadHandle;

/// The app, the accepted keys, the remembered requests, and the way to the settings.
pub(super) struct ApiState {
    pub(super) app: App,
    pub(super) keys: Arc<SharedKeys>,
    pub(super) requests: RequestStores,
    pub(super) reload: ReloadHandle,
}
