//! State of the routes.

use switchboard::App;

use super::idempotency::RequestStores;
use super::keys::Keys;

pub(super) struct Shared {
    pub(super) app: App,
    pub(super) keys: Keys,
    pub(super) requests: RequestStores,
}
