//! State of the routes.

use switchboard::App;

use super::idempotency::RequestStores;
use super::keys::Keys;

/// The app, the accepted keys, and the remembered requests.
pub(super) struct ApiState {
    pub(super) app: App,
    pub(super) keys: Keys,
    pub(super) requests: RequestStores,
}
