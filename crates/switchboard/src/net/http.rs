//! Plain HTTP requests on the address of the WebSockets.

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http::{Request, Response};
use switchboard_ws::handshake;
use tower::{BoxError, Service};

use crate::api::app::App;
use crate::net::upgrade::UpgradeService;
use crate::node::request_cost::RequestCost;
use crate::protocols::http_routes;

/// Serves an address: handshakes, and plain HTTP within the rate of the client's address.
#[derive(Clone)]
pub(crate) struct HttpService {
    websockets: UpgradeService,
    /// `None` if there are no routes, so the upgrade service answers plain requests with 426.
    routes: Option<axum::Router>,
}

impl HttpService {
    pub(crate) fn new(app: &App, websockets: UpgradeService) -> Self {
        HttpService { routes: routes(app, &websockets), websockets }
    }

    pub(crate) fn websockets(&self) -> &UpgradeService {
        &self.websockets
    }

    pub(crate) async fn respond<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        if handshake::is_upgrade(request.headers()) {
            return self.websockets.respond(request);
        }
        self.respond_plain(request).await
    }

    /// Answers a request that is not a handshake.
    pub(crate) async fn respond_plain<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        match self.routes.clone() {
            Some(routes) => respond_plain(&self.websockets, routes, request).await,
            None => self.websockets.respond(request),
        }
    }
}

/// Answers a request that is not a handshake, and counts it for the client's address.
async fn respond_plain<B>(
    websockets: &UpgradeService,
    mut routes: axum::Router,
    mut request: Request<B>,
) -> Response<Body>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let client = websockets.http_client(&request);
    let ip = client.ip;
    if let Some(refusal) = websockets.limit_request(ip) {
        return refusal;
    }
    request.extensions_mut().insert(client);
    let response = match routes.call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    if let Some(RequestCost(requests)) = response.extensions().get() {
        websockets.count_requests(ip, requests.saturating_sub(1));
    }
    response
}

/// The router for requests that are not handshakes: routes of the protocols, then the app's own router.
fn routes(app: &App, websockets: &UpgradeService) -> Option<axum::Router> {
    let own = app.setup().extension::<axum::Router>().cloned();
    let Some(routes) = http_routes(app) else { return own };
    let rest = own.unwrap_or_else(|| axum::Router::new().fallback_service(websockets.clone()));
    Some(routes.merge(rest))
}
