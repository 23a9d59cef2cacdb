//! The WebSocket upgrade: checks handshake requests, answers them, and starts connections.

mod answer;
mod error;
mod gate;
mod move_here;
mod resume;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::ConnectInfo;
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderValue, Request, Response};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use switchboard_backplane::ClientAction;
use switchboard_event::{RatedOperation, SocketId};
use switchboard_hub::NewSession;
use switchboard_ws::close::{CloseCode, close_frame};
use switchboard_ws::handshake;
use tokio::net::TcpStream;

use crate::api::app::App;
use crate::api::socket::Socket;
use crate::net::connection::Connection;
use crate::net::credential::token_in;
use crate::net::drain::STOPPING;
use crate::net::forwarded::reported_host;
use crate::net::heartbeat::Heartbeats;
use crate::net::http_client::HttpClient;
use crate::net::http_connection::IsEncrypted;
use crate::net::limiter::{AddressLimiter, ConnectionPermit, HttpPermit, LimitError};
use crate::net::options::{AcceptOptions, ClientAddress, CurrentOptions};
use crate::net::start::start;
use crate::net::tcp_options;
use crate::net::timed_stream::TimedStream;
use crate::net::transport::PeerStream;
use crate::net::worker_threads::WorkerThreads;
use crate::node::clock::now;
use crate::node::commands::sendable_code;
use crate::node::connect_gate::{Admitted, ConnectRefusal};
use crate::node::connection_info::ConnectionInfo;
use crate::node::connection_state::ConnectionState;
use crate::node::ending_session::Guard;
use crate::node::rates;
use crate::node::refusal_reason::RefusalReason;
use crate::node::reports::{report, wait_for_replies};
use crate::node::resume::record::record_changed;
use crate::node::resume::take_over::ResumeError;
use crate::protocols::Handshake;
use crate::protocols::admission::{Admission, Candidate};
use crate::routing::server::Server;
use answer::{
    log_refusal, log_refused_cookie, log_refused_origin, log_unknown_address, refusal, switching_protocols,
};
use error::UpgradeError;
use resume::ResumeRequest;

/// A tower service that upgrades WebSocket handshakes and answers other requests with 426. Made by
/// [`App::into_service`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), switchboard::ReplyError> {
/// use switchboard::App;
/// use switchboard::net::UpgradeService;
///
/// let websockets: UpgradeService = App::new().into_service();
/// let router: axum::Router = axum::Router::new().route_service("/ws", websockets);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct UpgradeService {
    server: Arc<Server>,
    limiter: Arc<AddressLimiter>,
}

/// A client with an accepted handshake, until its connection starts.
struct NewClient {
    handshake: Handshake,
    /// The token in the headers.
    token: Option<String>,
    info: ConnectionInfo,
    permit: ConnectionPermit,
    /// The ticket of the session that the client resumes.
    ticket: Option<String>,
}

impl UpgradeService {
    pub(crate) fn new(app: &App) -> Self {
        Self::with_worker_threads(app, None)
    }

    /// The service of a server with worker threads.
    pub(crate) fn with_worker_threads(app: &App, threads: Option<&WorkerThreads>) -> Self {
        let (server, limiter) = (start(app, threads), Arc::<AddressLimiter>::default());
        let sweeps = AddressLimiter::run_sweeps(Arc::downgrade(&limiter), Arc::downgrade(app.node()));
        app.node().tasks.spawn_service(sweeps);
        UpgradeService { server, limiter }
    }

    pub(crate) fn app(&self) -> &App {
        &self.server.app
    }

    /// The address of the client that sent a request. An address that proxies should have reported and did
    /// not is logged and counted.
    pub(crate) fn client_address<B>(&self, request: &Request<B>) -> ClientAddress {
        self.client_address_by(&self.options(), request)
    }

    fn client_address_by<B>(&self, options: &AcceptOptions, request: &Request<B>) -> ClientAddress {
        let address = find_address(options, request);
        if let Some(error) = address.error {
            self.app().node().meters().count_unknown_address(error.reason());
            log_unknown_address(error);
        }
        address
    }

    /// The client of a request that is not a handshake.
    pub(crate) fn http_client<B>(&self, request: &Request<B>) -> HttpClient {
        let ClientAddress { ip, is_secure, .. } = self.client_address(request);
        let is_proxied = self.options().is_trusted(peer_of(request));
        let host = is_proxied.then(|| reported_host(request.headers())).flatten();
        HttpClient { ip, is_secure, is_proxied, host: host.map(str::to_owned) }
    }

    fn options(&self) -> Arc<AcceptOptions> {
        self.app().setup().extension::<CurrentOptions>().expect("App::new sets the options").get()
    }

    /// Counts an HTTP connection from a peer, or refuses it. `None` if limits per address do not apply to it.
    pub(crate) fn admit_http_connection(&self, peer: IpAddr) -> Result<Option<HttpPermit>, LimitError> {
        let peer = peer.to_canonical();
        if !self.options().is_counted(peer) {
            return Ok(None);
        }
        let permit = self.limiter.admit_http_connection(peer, self.app().limits(), now());
        permit.map(Some).inspect_err(|_| RefusalReason::HttpConnections.count())
    }

    /// Counts an HTTP request that is not a handshake. Returns the refusal if the address exceeds its rate.
    pub(crate) fn limit_request(&self, ip: Option<IpAddr>) -> Option<Response<Body>> {
        let admitted = self.limiter.admit_request(ip, self.app().limits(), now());
        let error = admitted.and_then(|()| self.check_rules(ip)).err()?;
        self.app().node().meters().http_refused.increment(1);
        Some(refusal(&error.into()))
    }

    /// Checks the rate rules for HTTP requests.
    fn check_rules(&self, ip: Option<IpAddr>) -> Result<(), LimitError> {
        let (node, project) = (self.app().node(), self.app().project_id());
        let checked = rates::check_unconnected(node, project, ip, RatedOperation::Http);
        checked.map_err(|exceeded| LimitError::Rule(exceeded.error.retry_after_ms()))
    }

    /// Counts further requests for an answer that costs as much.
    pub(crate) fn count_requests(&self, ip: Option<IpAddr>, requests: u32) {
        if requests > 0 {
            self.limiter.count_requests(ip, requests, self.app().limits(), now());
        }
    }

    /// Answers a request. If it is a valid handshake, the connection starts after the response.
    pub(crate) fn respond<B>(&self, mut request: Request<B>) -> Response<Body> {
        let outcome = self.check(&request).and_then(|(accept, client)| {
            if request.extensions().get::<hyper::upgrade::OnUpgrade>().is_none() {
                return Err(UpgradeError::NoUpgrade);
            }
            self.upgrade(&mut request, client);
            let mut response = switching_protocols(accept);
            resume::answer_subprotocol(request.headers(), response.headers_mut());
            Ok(response)
        });
        outcome.unwrap_or_else(|error| self.refuse(&request, error))
    }

    /// Refuses a handshake. It counts as a request, because it has not been counted as a connection.
    fn refuse<B>(&self, request: &Request<B>, error: UpgradeError) -> Response<Body> {
        let ip = find_address(&self.options(), request).ip;
        let admitted = self.limiter.admit_request(ip, self.app().limits(), now());
        let error = admitted.err().map_or(error, UpgradeError::from);
        error.reason().count();
        log_refusal(&error, ip);
        refusal(&error)
    }

    /// Checks a handshake's headers, origin and URL, and the connection limits. Returns the value of
    /// `sec-websocket-accept`.
    fn check<B>(&self, request: &Request<B>) -> Result<(HeaderValue, NewClient), UpgradeError> {
        let (app, headers) = (self.app(), request.headers());
        let head_bytes_max = app.limits().header_bytes_max;
        if head_bytes(request) > head_bytes_max {
            return Err(UpgradeError::HeadTooLarge(head_bytes_max));
        }
        let accept = handshake::accept(headers, request.method(), request.version())?;
        let options = self.options();
        if !options.allows_origin(headers) {
            log_refused_origin(headers);
            return Err(UpgradeError::Origin);
        }
        if app.node().is_stopping.load(Ordering::Relaxed) {
            return Err(UpgradeError::Stopping);
        }
        if app.is_draining() {
            return Err(UpgradeError::Draining);
        }
        let handshake = Handshake::of(app, request.uri())?;
        let token = match handshake.takes_token_of_headers() && app.reads_tokens() {
            true => token_in(headers, &options).inspect_err(|_| log_refused_cookie(headers))?,
            false => None,
        };
        let ClientAddress { ip, is_counted, is_secure, .. } = self.client_address_by(&options, request);
        let permit = self.limiter.admit_connection(ip.filter(|_| is_counted), app.limits(), now())?;
        let info = ConnectionInfo::new(request.uri(), headers, &options.kept_headers, ip, is_secure);
        let ticket = resume::ticket_in(headers);
        Ok((accept, NewClient { handshake, token, info, permit, ticket }))
    }

    /// Starts an emit connection over a stream without an HTTP handshake.
    pub(crate) fn connect_stream(&self, stream: PeerStream) {
        let permit = self
            .limiter
            .admit_connection(None, self.app().limits(), now())
            .expect("a new limiter has no connections");
        let handshake = Handshake::without_uri();
        let info = ConnectionInfo::empty();
        let client = NewClient { handshake, token: None, info, permit, ticket: None };
        let service = self.clone();
        let mut connect = Box::pin(async move { service.connect(stream, Bytes::new(), client).await });
        // Ready at once, unless the app has a gate, or the node has just started and cannot receive the replies of workers yet.
        if connect.as_mut().now_or_never().is_none() {
            self.app().node().tasks.spawn(connect);
        }
    }

    /// Starts the connection once hyper has upgraded the stream.
    fn upgrade<B>(&self, request: &mut Request<B>, client: NewClient) {
        let (service, upgrade) = (self.clone(), hyper::upgrade::on(request));
        // A separate task, so that the long-lived connection task does not keep the memory that the
        // handshake needs.
        self.app().node().tasks.spawn(async move {
            if let Ok(upgraded) = upgrade.await {
                let (stream, read_buf) = stream_of(upgraded);
                service.connect(stream, read_buf, client).await;
            }
        });
    }

    /// Admits a client by its protocol's rules and starts its connection, or closes the stream.
    async fn connect(&self, stream: PeerStream, read_buf: Bytes, client: NewClient) {
        let NewClient { handshake, token, info, permit, ticket } = client;
        wait_for_replies(self.app().node()).await;
        let refusal = match ticket {
            Some(ticket) => {
                let (server, token) = (&*self.server, token.as_deref());
                let request = ResumeRequest { server, handshake: &handshake, token, info: &info };
                match Box::pin(request.resume(&ticket, stream.transport())).await {
                    Ok((socket, guard)) => return self.run(socket, stream, read_buf, guard, permit),
                    Err(error) => Some(error),
                }
            }
            None => None,
        };
        let id = SocketId::on(self.app().hub().bus().node());
        match handshake.admit(self.app(), Candidate { id, ip: info.ip(), token, moved: None }).await {
            Ok(admission) => {
                match gate::pass(self.app(), id, (admission.protocol, &admission.project), &info).await {
                    Ok(admitted) => {
                        let (socket, guard) = self.add(id, &stream, info, admission, admitted, refusal);
                        self.server.notify_connected(&socket);
                        self.run(socket, stream, read_buf, guard, permit);
                    }
                    Err(ConnectRefusal { code, reason }) => {
                        RefusalReason::Forbidden.count();
                        self.close_stream(stream, sendable_code(CloseCode(code)), &reason).await;
                    }
                }
            }
            Err(error) => {
                error.reason.count();
                self.close_stream(stream, error.code, &error.message).await;
            }
        }
    }

    async fn close_stream(&self, stream: PeerStream, code: CloseCode, reason: &str) {
        let frame = close_frame(code, reason);
        stream.send_and_close(&frame, self.app().limits().close_timeout).await;
    }

    /// Adds a client to the hub and reports it as connected.
    fn add(
        &self,
        id: SocketId,
        stream: &PeerStream,
        info: ConnectionInfo,
        admission: Admission,
        admitted: Admitted,
        refusal: Option<ResumeError>,
    ) -> (Socket, Option<Guard>) {
        let (app, node) = (self.app(), self.app().node());
        let Admission { protocol, project, state, greeting, may_resume, on_connected } = admission;
        let state = ConnectionState::new(info, state);
        let sessions = node.resumable().filter(|_| may_resume);
        let notice = resume::offer(sessions, &state, id, &project, protocol, refusal);
        let session = node.hub().add(NewSession {
            id,
            project,
            protocol,
            wants_positions: state.info.understands_extensions(),
            transport: stream.transport(),
            connection_state: Box::new(state),
            greeting: join_frames(greeting, notice),
        });
        record_changed(node, &session);
        node.extension::<Heartbeats>().of(protocol).watch(&session);
        node.meters().of(protocol).count_accepted();
        let socket = Socket::new(app, session);
        // A stop or a drain that began before the session was added may have missed it.
        if app.is_stopping() || app.is_draining() {
            node.close(socket.session(), CloseCode::RESTART, STOPPING);
        }
        report(node, socket.session(), ClientAction::Connected);
        // Before a token of the handshake is verified, which then replaces the user.
        gate::enter(&socket, admitted);
        let guard = on_connected(&socket);
        (socket, guard)
    }

    /// Starts the connection's task.
    fn run(
        &self,
        socket: Socket,
        stream: PeerStream,
        read_buf: Bytes,
        guard: Option<Guard>,
        permit: ConnectionPermit,
    ) {
        let connection = Connection::new(self.server.clone(), socket, stream, read_buf, permit);
        self.app().node().tasks.spawn(connection.task(guard));
    }
}

/// One frame, or two after each other.
fn join_frames(first: Option<Bytes>, second: Option<Bytes>) -> Option<Bytes> {
    match (first, second) {
        (Some(first), Some(second)) => Some([first, second].concat().into()),
        (first, second) => first.or(second),
    }
}

/// The stream below an upgraded connection, and the bytes that were read after the handshake. A stream on which any thread
/// may send is unwrapped, so that the connection can send on it directly.
fn stream_of(upgraded: Upgraded) -> (PeerStream, Bytes) {
    let upgraded = match upgraded.downcast::<TimedStream>() {
        Ok(parts) => return (parts.io.into_inner().into(), parts.read_buf),
        Err(upgraded) => upgraded,
    };
    // Another server has accepted it.
    let tcp = |stream: TokioIo<TcpStream>| {
        let stream = stream.into_inner();
        let _ = tcp_options::set(SockRef::from(&stream));
        PeerStream::tcp(stream)
    };
    let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => return (tcp(parts.io), parts.read_buf),
        Err(upgraded) => upgraded,
    };
    match hyper_util::server::conn::auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
        Ok(parts) => (tcp(parts.io), parts.read_buf),
        Err(upgraded) => (PeerStream::other(TokioIo::new(upgraded)), Bytes::new()),
    }
}

fn find_address<B>(options: &AcceptOptions, request: &Request<B>) -> ClientAddress {
    let is_encrypted = request.extensions().get::<IsEncrypted>().is_some();
    options.client_address(peer_of(request), is_encrypted, request.headers())
}

/// The address at the other end of a request's connection.
fn peer_of<B>(request: &Request<B>) -> Option<IpAddr> {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    peer.map(|info| info.0.ip().to_canonical())
}

/// Bytes in the head of a request: the address and the headers, without the method.
fn head_bytes<B>(request: &Request<B>) -> usize {
    let uri = request.uri().path_and_query().map_or(0, |uri| uri.as_str().len());
    // Each header has a colon, a space and a line break.
    let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    uri + headers.sum::<usize>()
}

impl<B: Send + 'static> tower::Service<Request<B>> for UpgradeService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.respond(request)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use metrics::{
        Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit, with_local_recorder,
    };

    use super::*;
    use crate::node::limits::Limits;

    /// Counts the refusals with one reason.
    struct Refusals {
        reason: &'static str,
        count: Arc<AtomicU64>,
    }

    impl Recorder for Refusals {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            let is_counted = key.name() == "switchboard_connections_refused_total"
                && key.labels().any(|label| label.key() == "reason" && label.value() == self.reason);
            if is_counted { Counter::from_arc(self.count.clone()) } else { Counter::noop() }
        }

        fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::noop()
        }

        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::noop()
        }
    }

    #[tokio::test]
    async fn an_http_connection_over_the_limit_of_its_address_is_refused_and_counted() {
        let limits = Limits { http_connections_per_address_max: Some(2), ..Limits::default() };
        let service = App::new().with_limits(limits).into_service();
        let refusals = Refusals { reason: "http_connections", count: Arc::default() };
        let admit =
            |ip: [u8; 4]| with_local_recorder(&refusals, || service.admit_http_connection(IpAddr::from(ip)));
        let admitted: Vec<_> = (0..2).map(|_| admit([192, 0, 2, 1])).collect();
        assert!(admitted.iter().all(Result::is_ok));
        assert!(admit([192, 0, 2, 1]).is_err() && admit([192, 0, 2, 2]).is_ok());
        assert!((0..9).all(|_| admit([127, 0, 0, 1]).is_ok()), "loopback stands for many clients");
        assert_eq!(refusals.count.load(Ordering::Relaxed), 1);
        drop(admitted);
        assert!(admit([192, 0, 2, 1]).is_ok());
    }
}
