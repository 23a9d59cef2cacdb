//! State of the routes.

use std::sync::Arc;

use switchboard::App;

use super::idempotency::RequestStores;
use super::key::SharedKeys;

/// The app, the accepted keys, and the remembered requests.
pub(super) struct ApiState {
    pub(super) app: App,
    pub(super) keys: Arc<SharedKeys>,
    pub(super) requests: RequestStores,
}
