//! Plain HTTP requests on the address of the WebSockets.

use crate::api::app::App;
use crate::net::upgrade::UpgradeService;
use crate::protocols::http_routes;

/// The router for requests that are not WebSocket handshakes: routes of the protocols, then the app's
/// own router. `None` if there is neither, so the upgrade service answers them with 426.
pub(crate) fn plain_http(app: &App, websockets: &UpgradeService) -> Option<axum::Router> {
    let own = app.setup().extension::<axum::Router>().cloned();
    let Some(routes) = http_routes(app) else { return own };
    let rest = own.unwrap_or_else(|| axum::Router::new().fallback_service(websockets.clone()));
    Some(routes.merge(rest))
}
