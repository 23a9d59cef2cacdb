//! The WebSocket upgrade: checks handshakes and starts connections.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::ConnectInfo;
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use switchboard_backplane::ClientAction;
use switchboard_event::SocketId;
use switchboard_hub::NewSession;
use switchboard_ws::close::{CloseCode, close_frame};
use switchboard_ws::handshake::{self, HandshakeError};
use tokio::net::TcpStream;

use crate::api::app::App;
use crate::api::socket::Socket;
use crate::net::connection::Connection;
use crate::net::heartbeat::Heartbeats;
use crate::net::options::{AcceptOptions, Origin};
use crate::net::start::start;
use crate::net::stop::STOPPING;
use crate::net::throttle::{Addresses, Admitted, Refused};
use crate::net::transport::Wire;
use crate::node::clock::now;
use crate::node::conn::Conn;
use crate::node::info::Info;
use crate::node::reports::report;
use crate::protocols::Handshake;
use crate::protocols::admission::{AddressError, Admission, Guard};
use crate::routing::server::Server;

/// A tower service that answers WebSocket handshakes, and everything else with 426; made by
/// [`App::into_service`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
/// use switchboard::{App, UpgradeService};
///
/// let door: UpgradeService = App::new().into_service();
/// let router: axum::Router = axum::Router::new().route_service("/ws", door);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct UpgradeService {
    server: Arc<Server>,
    addresses: Arc<Addresses>,
}

/// Why a handshake was refused.
#[derive(Debug, thiserror::Error)]
enum Closed {
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    #[error("this origin may not connect")]
    Origin,
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("the server is stopping")]
    Stopping,
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("the connection cannot be upgraded")]
    NoUpgrade,
}

impl Closed {
    fn status(&self) -> StatusCode {
        match self {
            Closed::Handshake(error) => error.status(),
            Closed::Origin => StatusCode::FORBIDDEN,
            Closed::Address(error) => error.status,
            Closed::Stopping | Closed::Refused(Refused::Full(_)) => StatusCode::SERVICE_UNAVAILABLE,
            Closed::Refused(_) => StatusCode::TOO_MANY_REQUESTS,
            Closed::NoUpgrade => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// The client of a handshake that was accepted, until its connection runs.
struct Upgrade {
    handshake: Handshake,
    info: Info,
    admitted: Admitted,
}

impl UpgradeService {
    pub(crate) fn new(app: &App) -> Self {
        UpgradeService { server: start(app), addresses: Arc::default() }
    }

    pub(crate) fn app(&self) -> &App {
        &self.server.app
    }

    /// Answers a handshake and starts the connection that follows it.
    fn open<B>(&self, mut request: Request<B>) -> Response<Body> {
        let outcome = self.check(&request).and_then(|(accept, upgrade)| {
            if request.extensions().get::<hyper::upgrade::OnUpgrade>().is_none() {
                return Err(Closed::NoUpgrade);
            }
            self.upgrade(&mut request, upgrade);
            Ok(switching_protocols(accept))
        });
        outcome.unwrap_or_else(|closed| {
            self.app().node().meters().refused(closed.status().as_u16());
            refusal(&closed)
        })
    }

    /// Checks a handshake: its headers, its origin, its address, the limits.
    fn check<B>(&self, request: &Request<B>) -> Result<(HeaderValue, Upgrade), Closed> {
        let (app, headers) = (self.app(), request.headers());
        let accept = handshake::accept(headers, request.method(), request.version())?;
        let default = AcceptOptions::default();
        let options = app.setup().extension::<AcceptOptions>().unwrap_or(&default);
        if !options.allows_origin(headers) {
            return Err(Closed::Origin);
        }
        if app.node().is_stopping.load(Ordering::Relaxed) {
            return Err(Closed::Stopping);
        }
        let handshake = Handshake::of(app, request.uri())?;
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map(|info| info.0.ip().to_canonical());
        let Origin { ip, is_secure } = options.origin(peer, headers);
        let admitted = self.addresses.admit(ip, app.limits(), now())?;
        let info = Info::new(request.uri(), headers, ip, is_secure);
        Ok((accept, Upgrade { handshake, info, admitted }))
    }

    /// Runs a connection over a stream whose handshake is done.
    pub(crate) fn connect_stream(&self, wire: Wire) {
        let admitted =
            self.addresses.admit(None, self.app().limits(), now()).expect("a new service has room");
        let client = Upgrade { handshake: Handshake::without_address(), info: Info::empty(), admitted };
        let connect = self.connect(wire, Bytes::new(), client);
        connect.now_or_never().expect("an emit client is admitted at once");
    }

    /// Starts the connection when the stream has been upgraded.
    fn upgrade<B>(&self, request: &mut Request<B>, client: Upgrade) {
        let (door, upgrade) = (self.clone(), hyper::upgrade::on(request));
        // A task of its own, so that the long-lived one is not as large as the handshake.
        self.app().node().tasks.spawn(async move {
            if let Ok(upgraded) = upgrade.await {
                let (wire, early) = wire_of(upgraded);
                door.connect(wire, early, client).await;
            }
        });
    }

    /// Admits a client and runs its connection in a task.
    async fn connect(&self, wire: Wire, early: Bytes, client: Upgrade) {
        let Upgrade { handshake, info, admitted } = client;
        let id = SocketId::on(self.app().hub().bus().node());
        match handshake.admit(self.app(), id).await {
            Ok(admission) => {
                let (socket, guard) = self.add(id, &wire, info, admission);
                self.run(socket, wire, early, (guard, admitted));
            }
            Err(reason) => {
                let frame = close_frame(CloseCode::TRY_AGAIN_LATER, &reason);
                wire.refuse(&frame, self.app().limits().close_timeout).await;
            }
        }
    }

    /// Adds a client to the hub.
    fn add(&self, id: SocketId, wire: &Wire, info: Info, admission: Admission) -> (Socket, Option<Guard>) {
        let (app, node) = (self.app(), self.app().node());
        let Admission { protocol, project, state, greeting, on_connected } = admission;
        let session = node.hub().add(NewSession {
            id,
            project,
            protocol,
            transport: wire.transport(),
            peer: Box::new(Conn::new(info, state)),
            greeting,
        });
        node.extension::<Heartbeats>().of(protocol).watch(id);
        node.meters().connections.increment(1.0);
        node.meters().connected.increment(1);
        let socket = Socket::new(app, session);
        // A stop that has begun meanwhile may not have seen it.
        if app.is_stopping() {
            node.close(socket.session(), CloseCode::RESTART, STOPPING);
        }
        report(node, socket.session(), ClientAction::Connected);
        let guard = on_connected(&socket);
        (socket, guard)
    }

    /// Runs a connection in a task of its own. `guards` are dropped when the hub has forgotten the
    /// client, and before its stream ends.
    fn run(&self, socket: Socket, wire: Wire, early: Bytes, guards: (Option<Guard>, Admitted)) {
        let mut connection = Connection::new(self.server.clone(), socket.clone(), wire, early);
        self.server.notify_connected(&socket);
        drop(socket);
        self.app().node().tasks.spawn(async move {
            let outcome = AssertUnwindSafe(connection.run()).catch_unwind().await;
            connection.end();
            drop(guards);
            Box::pin(connection.end_stream()).await;
            if let Err(panic) = outcome {
                resume_unwind(panic);
            }
        });
    }
}

/// The stream under an upgrade, as it came from the listener where it did.
fn wire_of(upgraded: Upgraded) -> (Wire, Bytes) {
    let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => return (Wire::tcp(parts.io.into_inner()), parts.read_buf),
        Err(upgraded) => upgraded,
    };
    match hyper_util::server::conn::auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
        Ok(parts) => (Wire::tcp(parts.io.into_inner()), parts.read_buf),
        Err(upgraded) => (Wire::other(TokioIo::new(upgraded)), Bytes::new()),
    }
}

fn switching_protocols(accept: HeaderValue) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    response
}

fn refusal(closed: &Closed) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{closed}\n")));
    *response.status_mut() = closed.status();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if closed.status() == StatusCode::UPGRADE_REQUIRED {
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    response
}

impl<B: Send + 'static> tower::Service<Request<B>> for UpgradeService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.open(request)))
    }
}
