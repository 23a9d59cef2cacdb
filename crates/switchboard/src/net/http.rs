//! Plain HTTP beside the WebSockets.

use crate::api::app::App;
use crate::net::upgrade::UpgradeService;
use crate::protocols::http_routes;

/// The router for requests that are no WebSocket handshakes; `None` if the upgrade service answers
/// them.
pub(crate) fn plain_http(app: &App, door: &UpgradeService) -> Option<axum::Router> {
    let own = app.setup().extension::<axum::Router>().cloned();
    let Some(routes) = http_routes(app) else { return own };
    let rest = own.unwrap_or_else(|| axum::Router::new().fallback_service(door.clone()));
    Some(routes.merge(rest))
}
