//! Methods of [`App`] that serve it: as an axum router, as a tower service, and the graceful stop.

use std::convert::Infallible;

use axum::body::Body;
use http::Request;

use crate::api::app::App;
use crate::net::http::HttpService;
use crate::net::stop::{Stopping, stop};
use crate::net::transport::PeerStream;
use crate::net::upgrade::UpgradeService;

impl App {
    /// Converts the app into an axum router: WebSockets on every path, and the app's plain HTTP router
    /// for all other requests. Nest it in a router of your own, or merge it with one.
    ///
    /// Serve the router with `into_make_service_with_connect_info::<SocketAddr>()`. Without it handlers
    /// get no client address, and limits per address do not apply.
    ///
    /// ```no_run
    /// # use std::net::SocketAddr;
    /// # use axum::{Router, routing::get};
    /// # use switchboard::App;
    /// # async fn example(listener: tokio::net::TcpListener) -> std::io::Result<()> {
    /// let live = App::new().on("/ping", async || {});
    /// let router = Router::new().route("/about", get(async || "a chat")).merge(live.into_router());
    /// let service = router.into_make_service_with_connect_info::<SocketAddr>();
    /// axum::serve(listener, service).await
    /// # }
    /// ```
    ///
    /// # Panics
    /// If the app's routes are invalid, or if called outside a tokio runtime.
    pub fn into_router(self) -> axum::Router {
        let http = HttpService::new(&self, UpgradeService::new(&self));
        let service = tower::service_fn(move |request: Request<Body>| {
            let http = http.clone();
            async move { Ok::<_, Infallible>(http.respond(request).await) }
        });
        axum::Router::new().fallback_service(service)
    }

    /// Converts the app into a tower service for one route of an axum router. It upgrades WebSocket
    /// handshakes and answers other requests with 426.
    ///
    /// ```no_run
    /// # use std::net::SocketAddr;
    /// # use axum::{Router, routing::get};
    /// # use switchboard::App;
    /// # async fn example(listener: tokio::net::TcpListener) -> std::io::Result<()> {
    /// let live = App::new().on("/ping", async || {});
    /// let router = Router::new()
    ///     .route("/about", get(async || "a chat"))
    ///     .route_service("/ws", live.clone().into_service()); // keep `live` to send with
    /// axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>()).await
    /// # }
    /// ```
    ///
    /// # Panics
    /// If the app's routes are invalid, or if called outside a tokio runtime.
    pub fn into_service(self) -> UpgradeService {
        UpgradeService::new(&self)
    }

    /// Stops the app: refuses new connections, closes all sockets with 1012 and waits for running
    /// handlers. Needed only for apps that are not run by [`serve`](crate::serve).
    ///
    /// ```no_run
    /// # use axum::Router;
    /// # use switchboard::App;
    /// # async fn example(
    /// #     listener: tokio::net::TcpListener,
    /// #     router: Router,
    /// #     live: App,
    /// #     signal: impl Future<Output = ()> + Send + 'static,
    /// # ) -> std::io::Result<()> {
    /// axum::serve(listener, router)
    ///     .with_graceful_shutdown(async move {
    ///         signal.await;
    ///         live.close().await; // axum does not wait for WebSockets
    ///     })
    ///     .await
    /// # }
    /// ```
    pub async fn close(&self) {
        self.close_within(Stopping::default()).await;
    }

    /// [`close`](Self::close) with an explicit window and time-out.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// # use std::time::Duration;
    /// # use switchboard::Stopping;
    /// # let app = switchboard::App::new();
    /// app.close_within(Stopping::default().with_window(Duration::from_secs(5))).await;
    /// # Ok(()) }
    /// ```
    pub async fn close_within(&self, stopping: Stopping) {
        stop(self, stopping).await;
    }

    /// Runs an emit connection over any stream, such as an in-memory pipe, without an HTTP handshake.
    #[doc(hidden)]
    pub fn connect_stream(
        &self,
        stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    ) {
        UpgradeService::new(self).connect_stream(PeerStream::other(stream));
    }
}
