//! The door: WebSocket handshakes in, connections out.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::ConnectInfo;
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, Request, Response, StatusCode, header};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use switchboard_backplane::ClientAction;
use switchboard_event::{Protocol, SocketId};
use switchboard_hub::NewSession;
use switchboard_ws::close::{CloseCode, close_frame};
use switchboard_ws::handshake::{self, HandshakeError};
use tokio::net::TcpStream;

use crate::api::app::App;
use crate::api::socket::Socket;
use crate::builder::Setup;
use crate::net::connection::Connection;
use crate::net::throttle::{Addresses, Admission, Refused};
use crate::net::transport::Wire;
use crate::node::clock::now;
use crate::node::conn::{Peer, Through};
use crate::node::info::Info;
use crate::node::reports;
use crate::protocols::koji::{self, Client, Place, Ticket, TicketError};
use crate::protocols::mesa;
use crate::routing::server::Served;

/// Who may come in.
///
/// ```
/// use switchboard::{App, DoorSettings};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let door = DoorSettings {
///     origins: Some(vec!["https://chat.example".into()]),
///     trusted_proxies: vec!["10.0.0.0/8".parse()?],
/// };
/// let app = App::new().with_door(door);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Default)]
pub struct DoorSettings {
    /// Origins that pages may come from, such as `https://example.com`; others are refused with
    /// 403. A peer that names no origin is no page and may come in. Default none: all may.
    pub origins: Option<Vec<String>>,
    /// Proxies whose `x-forwarded-for` and `x-forwarded-proto` are believed. The peer is the last
    /// address of the list that is none of theirs: what a client puts in front itself does not
    /// count. Default: none.
    pub trusted_proxies: Vec<IpNet>,
}

/// A tower service that answers WebSocket handshakes, and everything else with 426; made by
/// [`App::into_service`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
/// use switchboard::{App, Door};
///
/// let door: Door = App::new().into_service();
/// let router: axum::Router = axum::Router::new().route_service("/ws", door);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Door {
    served: Arc<Served>,
    addresses: Arc<Addresses>,
}

/// What a socket is told when the server stops.
pub(crate) const STOPPING: &str = "the server restarts";

/// Why a handshake was refused.
#[derive(Debug, thiserror::Error)]
enum Closed {
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    #[error("this origin may not connect")]
    Origin,
    #[error(transparent)]
    Ticket(#[from] TicketError),
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
            Closed::Ticket(error) => error.status(),
            Closed::Stopping | Closed::Refused(Refused::Full(_)) => StatusCode::SERVICE_UNAVAILABLE,
            Closed::Refused(_) => StatusCode::TOO_MANY_REQUESTS,
            Closed::NoUpgrade => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// What a handshake is for.
enum Entrance {
    Emit,
    Koji(Box<Ticket>),
    Mesa,
}

impl Door {
    pub(crate) fn new(app: &App) -> Self {
        Door { served: Served::start(app), addresses: Arc::default() }
    }

    pub(crate) fn app(&self) -> &App {
        &self.served.app
    }

    /// Answers a handshake and starts the connection that follows it.
    fn open<B>(&self, mut request: Request<B>) -> Response<Body> {
        match self.admit(&mut request) {
            Ok(response) => response,
            Err(closed) => {
                self.app().meters().refused(closed.status().as_u16());
                refusal(&closed)
            }
        }
    }

    fn admit<B>(&self, request: &mut Request<B>) -> Result<Response<Body>, Closed> {
        let accept = handshake::accept(request.headers(), request.method(), request.version())?;
        let settings = &self.app().setup().door;
        if !origin_may_connect(settings, request.headers()) {
            return Err(Closed::Origin);
        }
        if self.app().core().stopping.load(Ordering::Relaxed) {
            return Err(Closed::Stopping);
        }
        let entrance = self.entrance(request.uri())?;
        let peer =
            request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_canonical());
        let trusted = |ip: &IpAddr| settings.trusted_proxies.iter().any(|net| net.contains(ip));
        let proxied = peer.is_some_and(|ip| trusted(&ip));
        let ip = if proxied { forwarded_for(request.headers(), trusted).or(peer) } else { peer };
        let secure = proxied && header_text(request.headers(), "x-forwarded-proto") == Some("https");
        let admission = self.addresses.admit(ip, self.app().limits(), now())?;
        if request.extensions().get::<hyper::upgrade::OnUpgrade>().is_none() {
            return Err(Closed::NoUpgrade);
        }
        let info = Info::new(request.uri(), request.headers(), ip, secure);
        let upgrade = hyper::upgrade::on(request);
        let door = self.clone();
        // Two tasks, so that the long-lived one is not as large as the handshake.
        self.app().core().tasks.spawn(async move {
            if let Ok(upgraded) = upgrade.await {
                let (wire, early) = wire_of(upgraded);
                match entrance {
                    Entrance::Emit => door.connect(wire, early, info, admission),
                    Entrance::Koji(ticket) => {
                        door.connect_to_shard(wire, early, info, admission, ticket).await;
                    }
                    Entrance::Mesa => door.connect_mesa(wire, early, info, admission),
                }
            }
        });
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, header::HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, header::HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        Ok(response)
    }

    /// What a handshake is for, by its address.
    fn entrance(&self, uri: &http::Uri) -> Result<Entrance, TicketError> {
        let Setup { koji, mesa, mesa_only, .. } = self.app().setup();
        Ok(match (koji, mesa) {
            (_, Some(mesa)) if *mesa_only || mesa.is_asked_for(uri.path()) => Entrance::Mesa,
            (Some(koji), _) if Ticket::is_asked_for(uri) => Entrance::Koji(Box::new(Ticket::of(uri, koji)?)),
            _ => Entrance::Emit,
        })
    }

    fn connect(&self, wire: Wire, early: Bytes, info: Info, admission: Admission) {
        let new_session = NewSession {
            id: SocketId::on(self.app().hub().bus().node()),
            project: self.app().project_id().clone(),
            protocol: Protocol::Emit,
            transport: wire.transport(),
            peer: Box::new(Peer::new(info, Through::Emit)),
            greeting: None,
        };
        let socket = self.come_in(new_session);
        self.start(socket, wire, early, admission, None);
    }

    /// Connects a Koji client: it is told where it is before anything else.
    async fn connect_to_shard(
        &self,
        wire: Wire,
        early: Bytes,
        info: Info,
        admission: Admission,
        mut ticket: Box<Ticket>,
    ) {
        let id = SocketId::on(self.app().hub().bus().node());
        let seat = match koji::take_seat(self.app(), &ticket, id).await {
            Ok(seat) => seat,
            Err(no_place) => {
                tracing::warn!(project = %ticket.project, error = %no_place, "no place for a client");
                let frame = close_frame(CloseCode::TRY_AGAIN_LATER, &no_place.to_string());
                return wire.refuse(&frame, self.app().limits().close_timeout).await;
            }
        };
        let socket = self.come_in(NewSession {
            id,
            project: ticket.project.clone(),
            protocol: Protocol::Koji,
            transport: wire.transport(),
            peer: Box::new(Peer::new(info, Through::Koji(Box::new(Client::new(&ticket, &seat))))),
            greeting: Some(seat.greeting()),
        });
        let place = Place::new(&socket, seat);
        if let Some(token) = ticket.token.take() {
            koji::identify(&socket, token);
        }
        self.start(socket, wire, early, admission, Some(place));
    }

    /// Connects a Mesa client: it is told what to expect before anything else.
    fn connect_mesa(&self, wire: Wire, early: Bytes, info: Info, admission: Admission) {
        let settings = &self.app().setup().mesa.as_ref().expect("this door is open").settings;
        let socket = self.come_in(NewSession {
            id: SocketId::on(self.app().hub().bus().node()),
            project: settings.project.as_ref().unwrap_or(self.app().project_id()).clone(),
            protocol: Protocol::Mesa,
            transport: wire.transport(),
            peer: Box::new(Peer::new(info, Through::Mesa(Box::default()))),
            greeting: Some(mesa::greeting(settings)),
        });
        mesa::expect_login(&socket);
        self.start(socket, wire, early, admission, None);
    }

    /// Makes a socket known.
    fn come_in(&self, new_session: NewSession) -> Socket {
        let app = self.app();
        let protocol = new_session.protocol;
        let session = app.hub().add(new_session);
        app.core().heartbeats[protocol.index()].watch(session.id);
        app.meters().connections.increment(1.0);
        app.meters().connected.increment(1);
        let socket = Socket::new(app, session);
        // A stop that has begun meanwhile may not have seen it.
        if app.is_stopping() {
            socket.close_with(CloseCode::RESTART, STOPPING);
        }
        reports::report(&socket, ClientAction::Connected);
        socket
    }

    /// Starts the task that reads what the socket sends.
    fn start(&self, socket: Socket, wire: Wire, early: Bytes, admission: Admission, place: Option<Place>) {
        let mut connection = Connection::new(self.served.clone(), socket.clone(), wire, early);
        self.served.connected(&socket);
        drop(socket);
        self.app().core().tasks.spawn(async move {
            let outcome = AssertUnwindSafe(connection.run()).catch_unwind().await;
            connection.end();
            drop((place, admission));
            Box::pin(connection.end_stream()).await;
            if let Err(panic) = outcome {
                resume_unwind(panic);
            }
        });
    }
}

/// Speaks a connection over any stream whose handshake is done, such as a pipe in memory.
impl App {
    #[doc(hidden)]
    pub fn connect_stream(
        &self,
        stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    ) {
        let door = Door::new(self);
        let info = Info::new(&http::Uri::from_static("/"), &HeaderMap::new(), None, false);
        let admission = door.addresses.admit(None, self.limits(), now()).expect("a new door has room");
        door.connect(Wire::other(stream), Bytes::new(), info, admission);
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

fn refusal(closed: &Closed) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{closed}\n")));
    *response.status_mut() = closed.status();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
    if closed.status() == StatusCode::UPGRADE_REQUIRED {
        headers.insert(header::UPGRADE, header::HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, header::HeaderValue::from_static("13"));
    }
    response
}

fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn origin_may_connect(settings: &DoorSettings, headers: &HeaderMap) -> bool {
    match (&settings.origins, headers.get(header::ORIGIN)) {
        (Some(allowed), Some(origin)) => allowed.iter().any(|one| one.as_bytes() == origin.as_bytes()),
        _ => true,
    }
}

/// The client as the outermost trusted proxy saw it. Every proxy appends whom it talked to, so the
/// list is true from its end up to the first address that is not trusted.
fn forwarded_for(headers: &HeaderMap, trusted: impl Fn(&IpAddr) -> bool) -> Option<IpAddr> {
    let lists = headers.get_all("x-forwarded-for").iter().rev().map_while(|list| list.to_str().ok());
    let mut seen = None;
    for entry in lists.flat_map(|list| list.rsplit(',')) {
        let Ok(ip) = entry.trim().parse::<IpAddr>() else { break };
        seen = Some(ip.to_canonical());
        if !trusted(&ip.to_canonical()) {
            break;
        }
    }
    seen
}

impl<B: Send + 'static> tower::Service<Request<B>> for Door {
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
