//! One connection: reads, starts handlers in order, and sends what they queued for it.
//!
//! The task owns no buffer while no message is incomplete: it reads into bytes [lent](crate::net::buffers)
//! by the thread.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use switchboard_backplane::ClientAction;
use switchboard_hub::{Flushed, Outbox, Session};
use switchboard_wire::with_causes;
use switchboard_ws::close::{CloseCode, close_frame};
use switchboard_ws::frame::{self, OpCode};
use switchboard_ws::{Decoder, Item, ProtocolError};

use crate::api::socket::Socket;
use crate::net::buffers::with_lent;
use crate::net::throttle::Throttle;
use crate::net::transport::Wire;
use crate::node::Node;
use crate::node::clock::now;
use crate::node::conn::Conn;
use crate::node::inbox;
use crate::node::reports::Reporting;
use crate::protocols::{receive, received_bytes};
use crate::routing::request::Request;
use crate::routing::server::Server;

/// Messages handled before others get their turn. One read can hold hundreds.
const MESSAGES_PER_TURN: usize = 64;

/// A connection after its handshake.
pub(crate) struct Connection {
    server: Arc<Server>,
    socket: Socket,
    wire: Wire,
    decoder: Decoder,
    throttle: Throttle,
    /// Bytes that were read and not looked at: the turn was over, or too much is held.
    leftover: Vec<u8>,
    /// Events that come while as many handlers wait as may. Replies among them are not held: a
    /// handler may be waiting for just that.
    held: VecDeque<Request>,
    held_bytes: usize,
    ending: Ending,
}

/// How the connection comes to its end.
#[derive(Default)]
struct Ending {
    /// The peer has sent its close frame.
    peer_closed: bool,
    /// What the peer sends cannot be understood any more.
    garbled: bool,
    /// The close frames went through in time.
    in_order: bool,
    /// What the `@disconnect` hooks are told.
    code: Option<CloseCode>,
    reason: String,
}

enum Turn {
    /// There may be more to do at once.
    Over,
    /// A close frame is on its way out.
    Closing,
    /// The peer is gone.
    Gone,
}

impl Connection {
    pub(crate) fn new(server: Arc<Server>, socket: Socket, wire: Wire, early: Bytes) -> Self {
        let limits = server.app.limits();
        let max = server.frame_bytes_max(socket.session().protocol);
        Connection {
            decoder: Decoder::new(switchboard_ws::Limits { frame_bytes_max: max, message_bytes_max: max }),
            throttle: Throttle::new(limits, now()),
            leftover: early.into(),
            held: VecDeque::new(),
            held_bytes: 0,
            ending: Ending::default(),
            server,
            socket,
            wire,
        }
    }

    /// Lives until the peer is gone or the socket was closed.
    ///
    /// Borrows, so that the task holds the connection once and not again as an argument: most of
    /// an idle connection's memory is its task.
    pub(crate) async fn run(&mut self) {
        loop {
            match poll_fn(|cx| self.poll_turn(cx)).await {
                Turn::Over if self.leftover.is_empty() => {}
                Turn::Over => tokio::task::yield_now().await,
                Turn::Closing => {
                    Box::pin(self.close()).await;
                    break;
                }
                Turn::Gone => break,
            }
        }
    }

    fn node(&self) -> &Arc<Node> {
        self.socket.node()
    }

    fn session(&self) -> &Arc<Session> {
        self.socket.session()
    }

    fn conn(&self) -> &Conn {
        self.socket.conn()
    }

    fn outbox(&self) -> &Outbox {
        &self.session().outbox
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        self.wire.register(cx);
        if self.outbox().is_blocked() {
            self.flush_when_taken(cx);
        }
        if self.outbox().is_closing() {
            let cut = self.conn().close_code() == Some(CloseCode::ABNORMAL);
            return Poll::Ready(if cut { Turn::Gone } else { Turn::Closing });
        }
        if !self.held.is_empty() {
            self.outbox().hold();
            self.start_held();
            with_lent(|lent| self.flush_now(cx, &mut lent.send));
        }
        if self.holds_enough() || self.is_paused() {
            return Poll::Pending;
        }
        with_lent(|lent| {
            let mut leftover = std::mem::take(&mut self.leftover);
            let input = if leftover.is_empty() {
                match ready!(self.wire.poll_read(cx, &mut lent.read)) {
                    Ok(0) | Err(_) => return Poll::Ready(Turn::Gone),
                    Ok(len) => {
                        self.node().meters().bytes_in.increment(len as u64);
                        &mut lent.read[..len]
                    }
                }
            } else {
                &mut leftover[..]
            };
            self.conn().heard.store(true, Ordering::Relaxed);
            received_bytes(self.session());
            self.outbox().hold();
            self.work_off(input);
            self.flush_now(cx, &mut lent.send);
            Poll::Ready(Turn::Over)
        })
    }

    /// Whether as many handlers wait as may.
    fn is_busy(&self) -> bool {
        self.conn().handlers.load(Ordering::Relaxed) as usize >= self.node().limits().handlers_in_flight_max
    }

    /// Whether no more may be held. Then nothing is read until a handler is done.
    fn holds_enough(&self) -> bool {
        self.held_bytes >= self.node().limits().message_bytes_max
    }

    /// Whether the protocol has paused decoding.
    fn is_paused(&self) -> bool {
        self.conn().is_decoding_paused.load(Ordering::Relaxed)
    }

    /// Starts events that had to wait for others.
    fn start_held(&mut self) {
        while !self.is_busy()
            && let Some(request) = self.held.pop_front()
        {
            self.held_bytes -= held_bytes(&request);
            self.server.handle(request, now());
        }
        if self.held.is_empty() {
            self.held = VecDeque::new();
        }
    }

    /// Handles the messages in `input`, as many as a turn allows, and keeps the rest.
    fn work_off(&mut self, mut input: &mut [u8]) {
        let mut handled = 0;
        while handled < MESSAGES_PER_TURN
            && !self.holds_enough()
            && !self.is_paused()
            && !self.outbox().is_closing()
        {
            match self.decoder.next(&mut input) {
                Ok(Some(item)) => self.item(item),
                Ok(None) => return,
                Err(error) => return self.fail(&error),
            }
            handled += 1;
        }
        self.leftover.extend_from_slice(input);
    }

    fn item(&mut self, item: Item<'_>) {
        let (opcode, payload) = match item {
            Item::Text(payload) => (OpCode::Text, payload),
            Item::Binary(payload) => (OpCode::Binary, payload),
            Item::Ping(payload) => {
                let pong = frame::encode(OpCode::Pong, &payload);
                self.node().hub().deliver_ahead(self.session(), &pong);
                return;
            }
            Item::Pong(payload) => return inbox::acknowledge(self.node(), self.session(), &payload),
            Item::Close(said) => {
                let (code, reason) =
                    said.map_or((CloseCode::NO_STATUS, String::new()), |(code, why)| (code, why));
                self.ending.peer_closed = true;
                return self.refuse(code, &reason);
            }
        };
        self.node().meters().messages_in.increment(1);
        let started = now();
        if let Err(over) = self.throttle.admit(payload.len(), self.socket.node().limits(), started) {
            return self.refuse(CloseCode::POLICY, &over);
        }
        if let Some(raw) = self.server.raw {
            return raw(&self.socket, opcode, &payload);
        }
        let frame = payload.into_bytes();
        match receive(&self.server, &self.socket, &frame) {
            Ok(Some(request)) => self.handle(request, started),
            Ok(None) => {}
            Err(error) => {
                self.node().meters().bad_frames.increment(1);
                let error = with_causes(&error);
                tracing::debug!(socket = %self.socket.id(), %error, "ignored a frame: it cannot be decoded");
                self.server.report_error(&self.socket, "", "bad_frame", &error);
            }
        }
    }

    /// Starts an event's handler, or holds the event until one may start.
    fn handle(&mut self, request: Request, started: Instant) {
        if self.held.is_empty() && !self.is_busy() {
            return self.server.handle(request, started);
        }
        self.held_bytes += held_bytes(&request);
        self.held.push_back(request);
    }

    /// The peer broke the protocol: it costs this connection, and nothing else.
    fn fail(&mut self, error: &ProtocolError) {
        tracing::debug!(socket = %self.socket.id(), %error, "closing for a protocol error");
        self.ending.garbled = true;
        self.refuse(error.close_code(), &error.to_string());
    }

    fn refuse(&mut self, code: CloseCode, reason: &str) {
        self.ending.code = Some(code);
        self.ending.reason = reason.to_owned();
        // A peer's own close is answered with its code alone.
        let said = if self.ending.peer_closed { "" } else { reason };
        self.node().hub().close(self.session(), close_frame(code, said));
    }

    /// Sends what the handlers of this turn queued for their own socket.
    fn flush_now(&mut self, cx: &mut Context<'_>, scratch: &mut Vec<u8>) {
        loop {
            let flushed = match &mut self.wire {
                Wire::Tcp(_) => self.socket.session().outbox.flush(scratch),
                other => self
                    .socket
                    .session()
                    .outbox
                    .flush_by(scratch, |batch| pending_blocks(other.poll_send(cx, batch))),
            };
            self.node().meters().bytes_out.increment(flushed.1 as u64);
            match flushed.0 {
                Flushed::More => {}
                Flushed::Blocked => return self.flush_when_taken(cx),
                Flushed::Done => return,
            }
        }
    }

    /// Sends as long as the peer takes something; then the task is woken when it does again.
    fn flush_when_taken(&mut self, cx: &mut Context<'_>) {
        let (outbox, node) = (&self.socket.session().outbox, self.socket.node());
        let wire = &mut self.wire;
        let mut scratch = Vec::new();
        loop {
            let (flushed, sent) =
                outbox.flush_by(&mut scratch, |batch| pending_blocks(wire.poll_send(cx, batch)));
            node.meters().bytes_out.increment(sent as u64);
            if flushed == Flushed::Done || (flushed == Flushed::Blocked && sent == 0) {
                return;
            }
        }
    }

    /// Gets the close frame out and waits for the peer's, both within the time-out.
    async fn close(&mut self) {
        let timeout = self.node().limits().close_timeout;
        let said = tokio::time::timeout(timeout, async {
            poll_fn(|cx| self.poll_sent(cx)).await;
            if self.ending.garbled {
                self.wire.shutdown().await;
            }
            if !self.ending.peer_closed {
                poll_fn(|cx| self.poll_peer_closes(cx)).await;
            }
        });
        self.ending.in_order = said.await.is_ok();
        if !self.ending.in_order {
            tracing::debug!(socket = %self.socket.id(), "cut: the peer did not answer the close frame");
        }
    }

    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.wire.register(cx);
        if self.outbox().is_blocked() {
            self.flush_when_taken(cx);
        } else {
            with_lent(|lent| self.flush_now(cx, &mut lent.send));
        }
        if self.outbox().queued_bytes() == 0 { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Reads on until the peer closes; what else it sends is too late.
    fn poll_peer_closes(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let over = with_lent(|lent| {
                let len = match ready!(self.wire.poll_read(cx, &mut lent.read)) {
                    Ok(0) | Err(_) => return Poll::Ready(true),
                    Ok(len) => len,
                };
                let mut input = &mut lent.read[..len];
                Poll::Ready(!self.ending.garbled && self.peer_closes_in(&mut input))
            });
            if ready!(over) {
                return Poll::Ready(());
            }
        }
    }

    fn peer_closes_in(&mut self, input: &mut &mut [u8]) -> bool {
        let mut input = std::mem::take(input);
        loop {
            match self.decoder.next(&mut input) {
                Ok(Some(Item::Close(_))) => return true,
                Ok(Some(_)) => {}
                Ok(None) => return false,
                Err(_) => {
                    self.ending.garbled = true;
                    return false;
                }
            }
        }
    }

    /// Ends the stream of a connection that was closed in order. Last, when all is forgotten: who
    /// waits for this before it comes again, as browsers do, finds its seat free.
    pub(crate) async fn end_stream(&mut self) {
        if self.ending.in_order {
            let timeout = self.node().limits().close_timeout;
            let _ = tokio::time::timeout(timeout, self.wire.shutdown()).await;
        }
    }

    /// Forgets the socket and tells everybody who has to know.
    pub(crate) fn end(&mut self) {
        let overflowed = self.outbox().has_overflowed().then_some(CloseCode::TRY_AGAIN_LATER);
        let ours = self.conn().close_code().or(overflowed);
        let code = self.ending.code.or(ours).unwrap_or(CloseCode::ABNORMAL);
        inbox::release(self.node(), self.session());
        // Its user is known only until the hub forgets it.
        let reporting =
            Reporting::of(self.node(), self.session(), ClientAction::Disconnected { code: code.0 });
        self.node().hub().remove(self.session());
        self.node().identities.forget(self.socket.id());
        self.conn().hang_up();
        self.node().meters().closed(code.0);
        reporting.into_iter().for_each(Reporting::send);
        self.server.notify_disconnected(&self.socket, code.0, &self.ending.reason);
    }
}

/// What a held event counts: its data, and what it is kept in.
fn held_bytes(request: &Request) -> usize {
    request.payload().as_bytes().len() + 256
}

/// A send that has to wait is one the peer does not take now.
fn pending_blocks(sent: Poll<io::Result<usize>>) -> io::Result<usize> {
    match sent {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}
