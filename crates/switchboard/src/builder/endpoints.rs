//! Setters of an app's endpoints: its protocols, plain HTTP, the clients that may connect, and their sessions.

use std::sync::Arc;

use switchboard_ws::frame::OpCode;

use crate::api::app::App;
use crate::api::socket::Socket;
use crate::net::options::{AcceptOptions, CurrentOptions};
use crate::node::access::rule::AccessRule;
use crate::node::connect_gate::ConnectGate;
use crate::node::resume::options::Resuming;
use crate::node::verifier::{AnswersTokens, CurrentVerifier, Verifier};
use crate::protocols::koji::options::Koji;
use crate::protocols::mesa::options::{Mesa, MesaOnly};
use crate::routing::server::RawHandler;

impl App {
    /// Accepts clients of the Koji protocol, which share shards; see [`Koji`].
    ///
    /// ```
    /// use switchboard::{App, Koji};
    ///
    /// let app = App::new().with_koji(Koji::new());
    /// ```
    pub fn with_koji(self, koji: Koji) -> Self {
        self.set(koji)
    }

    /// Accepts clients of the Mesa protocol at the path of its settings, by default `/mesa`; see [`Mesa`].
    ///
    /// ```
    /// use switchboard::{App, Mesa};
    ///
    /// let app = App::new().with_mesa(Mesa::new());
    /// ```
    pub fn with_mesa(self, mesa: Mesa) -> Self {
        self.set(mesa)
    }

    /// Returns the same app for a listener that accepts Mesa clients only, at any path.
    ///
    /// ```no_run
    /// # async fn example() -> std::io::Result<()> {
    /// use switchboard::{App, Mesa, serve};
    /// use tokio::net::TcpListener;
    ///
    /// let app = App::new().with_mesa(Mesa::new());
    /// let mesa = serve(TcpListener::bind("0.0.0.0:4000").await?, app.for_mesa_only());
    /// tokio::try_join!(serve(TcpListener::bind("0.0.0.0:3000").await?, app), mesa)?;
    /// # Ok(()) }
    /// ```
    pub fn for_mesa_only(&self) -> Self {
        self.clone().change(|setup| {
            setup.set(MesaOnly);
            setup.take::<axum::Router>();
        })
    }

    /// Sets the gate that decides which clients may connect. Default: none, every client that its protocol admits.
    ///
    /// ```
    /// use switchboard::App;
    /// use switchboard::access::{Admitted, ConnectFuture, ConnectGate, ConnectRefusal, ConnectingClient};
    ///
    /// struct KnownBrowsers;
    ///
    /// impl ConnectGate for KnownBrowsers {
    ///     fn admit<'a>(&'a self, client: ConnectingClient<'a>) -> ConnectFuture<'a> {
    ///         Box::pin(async move {
    ///             match client.info.header("user-agent") {
    ///                 Some(_) => Ok(Admitted { rooms: vec!["#lobby".try_into().expect("short")], ..Admitted::default() }),
    ///                 None => Err(ConnectRefusal { code: 1008, reason: "unknown browser".into() }),
    ///             }
    ///         })
    ///     }
    /// }
    /// let app = App::new().with_connect_gate(std::sync::Arc::new(KnownBrowsers));
    /// ```
    pub fn with_connect_gate(self, gate: Arc<dyn ConnectGate>) -> Self {
        self.set(gate)
    }

    /// Serves plain HTTP on the same port: requests other than WebSocket handshakes go to this router,
    /// through its tower layers.
    ///
    /// ```
    /// use axum::{Router, routing::get};
    /// use switchboard::App;
    ///
    /// let pages = Router::new().route("/health", get(async || "ok"));
    /// let app = App::new().with_http(pages);
    /// ```
    pub fn with_http(self, router: axum::Router) -> Self {
        self.set(router)
    }

    /// Passes every WebSocket message to `raw` instead of a protocol. For conformance suites.
    #[doc(hidden)]
    pub fn with_raw_messages(self, raw: fn(&Socket, OpCode, &[u8])) -> Self {
        self.set::<RawHandler>(raw)
    }

    /// Sets the origins that may connect and the proxies that are trusted. Default: any origin, no proxy.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// use switchboard::App;
    /// use switchboard::net::AcceptOptions;
    ///
    /// let allowed_origins = Some(vec!["https://chat.example".parse().unwrap()]);
    /// let app = App::new().with_accept_options(AcceptOptions { allowed_origins, ..AcceptOptions::default() });
    /// # let server = switchboard_testkit::TestServer::start(app).await;
    /// # let origin = [("origin", "https://other.example")];
    /// # assert!(switchboard_testkit::Peer::try_connect(&server.url("/"), &origin).await.is_err());
    /// # Ok(()) }
    /// ```
    pub fn with_accept_options(self, options: AcceptOptions) -> Self {
        let current = CurrentOptions::default();
        current.set(options);
        self.set(current)
    }

    /// Sets the rule that decides what clients may do beyond the claims of their tokens; see [`AccessRule`]. Default:
    /// a client without a claim may do everything.
    ///
    /// It applies to what the server does for a client: to seats and events of the Koji protocol, and to handlers that
    /// use [`Socket::may`], [`Socket::join_as_client`] or [`Emitter::as_client`](crate::Emitter::as_client).
    pub fn with_access_rule(self, rule: impl AccessRule) -> Self {
        self.node().access.set_rule(Some(Arc::new(rule)));
        self
    }

    /// Sets the verifier of clients' tokens. Default: none, every token is refused.
    pub fn with_verifier(self, verifier: impl Verifier) -> Self {
        self.node().access.enable();
        let current = CurrentVerifier::default();
        current.set(Some(Arc::new(verifier)));
        self.set(current)
    }

    /// Lets an app without a verifier refuse the tokens of emit handshakes, with the reason `no_verifier`, so that the client is
    /// notified. Default: an app without a verifier ignores these tokens, because its handlers may read them.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
    /// use switchboard::App;
    ///
    /// let app = App::new().with_tokens_answered();
    /// # let server = switchboard_testkit::TestServer::start(app).await;
    /// # let mut peer = switchboard_testkit::Peer::connect(&server.url("/?sb=1&token=x")).await;
    /// # assert_eq!(peer.next().await["data"]["code"], "no_verifier");
    /// # Ok(()) }
    /// ```
    pub fn with_tokens_answered(self) -> Self {
        self.set(AnswersTokens)
    }

    /// Keeps sessions when their connections break, if the client can resume, as the TypeScript SDK and the Rust client can: it
    /// takes its session over with its rooms, tags and user. Default: sessions end with their connections.
    ///
    /// With kept sessions, `@detached` hooks run when a connection breaks, `@resume` hooks before the session is resumed, and
    /// `@disconnect` hooks when the session ends. A `@resume` hook that returns an error refuses: the client gets a new
    /// session.
    ///
    /// ```
    /// use switchboard::{App, Resuming};
    ///
    /// let app = App::new().with_resume(Resuming::default());
    /// ```
    pub fn with_resume(self, resuming: Resuming) -> Self {
        self.change_settings(|settings| settings.resuming = Some(resuming));
        self
    }
}
