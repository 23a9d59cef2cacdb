//! One WebSocket connection after its handshake: reads frames, starts handlers in order, and sends the
//! frames that they queue for this connection.
//!
//! Reads and sends use the [buffers](crate::net::buffers) of the current thread. The connection itself
//! holds bytes only while a message is incomplete, so an idle connection has no buffer.

mod closing;
mod deferred;
mod input_limits;
mod log_kind;
mod read_ahead;
#[cfg(test)]
mod size;

use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use switchboard_event::Buffer;
use switchboard_hub::{Flushed, Outbox, Session, Transport};
use switchboard_log::{limited, limited_by, printable, printable_error, with_causes};
use switchboard_ws::close::{CloseCode, close_frame};
use switchboard_ws::frame::{self, OpCode};
use switchboard_ws::{Decoder, Message, MessageBytes, ProtocolError};

use crate::api::socket::Socket;
use crate::net::buffers::with_buffers;
use crate::net::flusher::Flushers;
use crate::net::limiter::ConnectionPermit;
use crate::net::transport::PeerStream;
use crate::node::Node;
use crate::node::clock::now;
use crate::node::connection_state::ConnectionState;
use crate::node::ending_session::Guard;
use crate::node::flow_control;
use crate::node::inbox;
use crate::node::limits::Limits;
use crate::node::logged_client::LoggedClient;
use crate::node::meters::ProtocolMeters;
use crate::node::rates;
use crate::protocols::received::Received;
use crate::protocols::{receive, received_bytes, received_pong};
use crate::routing::request::Request;
use crate::routing::server::Server;
use deferred::DeferredEvents;
use input_limits::{InputError, InputLimits};
use log_kind::log_kind;

/// Maximum number of messages handled before the task yields. One read can contain hundreds.
const MESSAGES_PER_TURN: usize = 64;

/// Time after which the task yields before it handles another message: a message can be sent to thousands.
const TURN_TIME_MAX: Duration = Duration::from_millis(1);

/// The divisor of the outbox's bound for the bytes that are decoded before the connection waits until the flusher lane has sent
/// everything. A burst therefore fills the outbox of no receiver that accepts it as fast as it arrives.
const UNFLUSHED_PART: usize = 4;

/// Longest wait for the flusher lane, which other connections may keep busy.
const FLUSH_WAIT_MAX: Duration = Duration::from_millis(100);

/// A connection after its handshake.
pub(crate) struct Connection {
    server: Arc<Server>,
    socket: Socket,
    stream: PeerStream,
    decoder: Decoder,
    input_limits: InputLimits,
    /// Bytes that were read and not decoded: the turn ended, or too many events are deferred.
    undecoded: Vec<u8>,
    /// Events that arrived while the maximum number of handlers was in flight. Replies are never
    /// deferred, because a handler in flight may be waiting for one.
    deferred: DeferredEvents,
    /// Bytes that are decoded before the next wait for the flusher lane.
    flush_allowance: u32,
    close: CloseState,
}

/// Progress and result of the closing handshake.
#[derive(Default)]
struct CloseState {
    /// The peer has sent its close frame.
    is_peer_closed: bool,
    /// The session has gone to another node before the peer has answered.
    is_peer_awaited: bool,
    /// The peer has violated the protocol or its limits, so nothing more of it is decoded.
    is_input_ignored: bool,
    /// Both sides sent their close frames before the time-out.
    is_clean: bool,
    /// Code and reason for the `@disconnect` hooks, if the peer or a protocol error caused the close.
    code: Option<CloseCode>,
    reason: Box<str>,
}

/// Result of one turn of the connection's task.
enum Turn {
    /// The turn has ended and the next one can start.
    Done,
    /// A close frame is queued or sent.
    Closing,
    /// The peer has disconnected.
    Disconnected,
}

impl Connection {
    /// `read_buf` holds bytes that were read together with the handshake.
    pub(crate) fn new(
        server: Arc<Server>,
        socket: Socket,
        stream: PeerStream,
        read_buf: Bytes,
        permit: ConnectionPermit,
    ) -> Self {
        let limits = server.app.limits();
        let max = server.frame_bytes_max(socket.session().protocol);
        Connection {
            decoder: Decoder::new(switchboard_ws::Limits { frame_bytes_max: max, message_bytes_max: max }),
            input_limits: InputLimits::new(permit, limits, now()),
            undecoded: read_buf.into(),
            deferred: DeferredEvents::default(),
            flush_allowance: flush_allowance(limits),
            close: CloseState::default(),
            server,
            socket,
            stream,
        }
    }

    /// The task of the connection. `guard` is dropped after the session is removed and before the stream is shut down.
    #[expect(clippy::manual_async_fn, reason = "the future of an `async fn` would hold the connection twice")]
    pub(crate) fn task(mut self, guard: Option<Guard>) -> impl Future<Output = ()> + Send {
        async move {
            let outcome = AssertUnwindSafe(self.run()).catch_unwind().await;
            self.end(guard);
            Box::pin(self.shut_down_stream()).await;
            if let Err(panic) = outcome {
                resume_unwind(panic);
            }
        }
    }

    /// Runs until the peer disconnects or the socket is closed.
    ///
    /// Takes a reference, because an argument by value would be stored twice in the task, and the task
    /// is most of an idle connection's memory.
    async fn run(&mut self) {
        // The greeting, which the hub has held back until the client's memberships are complete.
        poll_fn(|cx| {
            with_buffers(|buffers| self.flush_inline(cx, &mut buffers.send));
            Poll::Ready(())
        })
        .await;
        loop {
            match poll_fn(|cx| self.poll_turn(cx)).await {
                Turn::Done if self.awaits_receivers() => Box::pin(self.wait_for_receivers()).await,
                Turn::Done if self.is_flush_due() => Box::pin(self.wait_for_flush()).await,
                Turn::Done if self.undecoded.is_empty() => {}
                Turn::Done => tokio::task::yield_now().await,
                Turn::Closing => {
                    Box::pin(self.finish_close()).await;
                    break;
                }
                Turn::Disconnected => break,
            }
        }
    }

    fn node(&self) -> &Arc<Node> {
        self.socket.node()
    }

    fn meters(&self) -> &ProtocolMeters {
        self.node().meters().of(self.session().protocol)
    }

    fn session(&self) -> &Arc<Session> {
        self.socket.session()
    }

    fn connection_state(&self) -> &ConnectionState {
        self.socket.connection_state()
    }

    fn outbox(&self) -> &Outbox {
        &self.session().outbox
    }

    /// One turn: flushes the outbox, starts deferred handlers, then reads and handles one buffer of input.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        self.stream.register(cx);
        self.send_pending(cx);
        if self.outbox().is_closing() {
            let is_aborted = self.connection_state().close_code() == Some(CloseCode::ABNORMAL);
            return Poll::Ready(if is_aborted { Turn::Disconnected } else { Turn::Closing });
        }
        if !self.deferred.is_empty() {
            self.outbox().mark_flush_scheduled();
            self.start_deferred();
            with_buffers(|buffers| self.flush_inline(cx, &mut buffers.send));
        }
        if self.awaits_receivers() {
            return Poll::Ready(Turn::Done);
        }
        if self.is_deferred_full() {
            self.input_limits.pause_deadline();
            return Poll::Pending;
        }
        if self.is_decoding_paused() {
            self.input_limits.pause_deadline();
            return self.poll_ahead(cx);
        }
        with_buffers(|buffers| {
            let mut undecoded = std::mem::take(&mut self.undecoded);
            let (input, read_len) = if undecoded.is_empty() {
                match self.stream.poll_read(cx, &mut buffers.read) {
                    Poll::Pending => return self.poll_deadline(cx),
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Turn::Disconnected),
                    Poll::Ready(Ok(len)) => (&mut buffers.read[..len], len),
                }
            } else {
                (&mut undecoded[..], 0)
            };
            self.receive(input, read_len);
            self.flush_inline(cx, &mut buffers.send);
            Poll::Ready(Turn::Done)
        })
    }

    /// Closes the connection if its unfinished message has taken too long.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        let error = ready!(self.input_limits.poll_deadline(cx, &self.decoder, self.socket.node().limits()));
        self.close_over_limit(&error);
        Poll::Ready(Turn::Done)
    }

    /// Handles input, of which `read_len` bytes have just been read.
    fn receive(&mut self, input: &mut [u8], read_len: usize) {
        let received = now();
        self.outbox().mark_flush_scheduled();
        match self.count_read(read_len, received) {
            Ok(()) => self.decode_all(input, received),
            Err(error) => self.close_over_limit(&error),
        }
    }

    /// Counts bytes that have just been read.
    fn count_read(&mut self, len: usize, received: Instant) -> Result<(), InputError> {
        self.meters().bytes_received.increment(len as u64);
        self.connection_state().has_received.store(true, Ordering::Relaxed);
        received_bytes(self.session());
        self.input_limits.count_bytes(len, self.socket.node().limits(), received)
    }

    /// Returns true if the maximum number of handlers is in flight.
    fn is_busy(&self) -> bool {
        let handlers = self.connection_state().handlers.load(Ordering::Relaxed) as usize;
        handlers > 0 && handlers >= self.node().limits().handlers_in_flight_max
    }

    /// Returns true if no more events may be deferred. Nothing is read then until a handler finishes.
    fn is_deferred_full(&self) -> bool {
        !self.deferred.is_empty() && self.deferred.bytes() >= self.node().limits().message_bytes_max
    }

    /// Returns true if nothing more is decoded before the flusher lane has sent the frames that earlier messages caused.
    fn is_flush_due(&self) -> bool {
        self.flush_allowance == 0
    }

    /// Waits until the flusher lane has sent the frames that this connection's messages have queued for others.
    async fn wait_for_flush(&mut self) {
        self.flush_allowance = flush_allowance(self.node().limits());
        let flushed = self.node().extension::<Arc<Flushers>>().flushed();
        // After the time-out the messages are handled nevertheless: a lane that never rests must not stop a connection.
        let _ = tokio::time::timeout(FLUSH_WAIT_MAX, flushed).await;
        tokio::task::yield_now().await;
    }

    /// Returns true if nothing more is decoded until receivers have caught up.
    fn awaits_receivers(&self) -> bool {
        self.connection_state().awaits_receivers.load(Ordering::Relaxed)
    }

    /// Waits until the receivers have caught up, and sends what is queued for this connection meanwhile. Ends early if
    /// the connection is closing.
    async fn wait_for_receivers(&mut self) {
        self.input_limits.pause_deadline();
        let (node, session) = (self.node().clone(), self.session().clone());
        tokio::select! {
            () = flow_control::wait(&node, &session) => {}
            () = poll_fn(|cx| self.poll_closing(cx)) => {}
        }
        // What the client has sent was not read during the wait, so the heartbeat must not take it for dead.
        self.connection_state().has_received.store(true, Ordering::Relaxed);
    }

    /// Sends the frames that are queued for this connection. Completes when it is closing.
    fn poll_closing(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.register(cx);
        self.send_pending(cx);
        if self.outbox().is_closing() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Returns true if the protocol has paused decoding.
    fn is_decoding_paused(&self) -> bool {
        self.connection_state().is_decoding_paused.load(Ordering::Relaxed)
    }

    /// Starts handlers for deferred events, up to the maximum number in flight.
    fn start_deferred(&mut self) {
        while !self.is_busy()
            && let Some(request) = self.deferred.pop()
        {
            self.server.handle(request, now());
        }
    }

    /// Handles the messages in `input`, up to the limits of one turn, and keeps the remaining bytes.
    fn decode_all(&mut self, mut input: &mut [u8], mut started: Instant) {
        let turn_ends = started + TURN_TIME_MAX;
        for _ in 0..MESSAGES_PER_TURN {
            if self.is_decoding_stopped() {
                break;
            }
            let len = input.len();
            let message = match self.decoder.next(&mut input) {
                Ok(message) => message,
                Err(error) => return self.close_invalid(&error),
            };
            self.flush_allowance = self.flush_allowance.saturating_sub((len - input.len()) as u32);
            match self.input_limits.count_frames(&mut self.decoder, self.socket.node()) {
                Ok(frames) if rates::check_frames(self.node(), self.session(), frames, started).is_err() => {
                    return;
                }
                Ok(_) => {}
                Err(error) => return self.close_over_limit(&error),
            }
            let Some(message) = message else { return };
            self.handle_message(message, started);
            if input.is_empty() {
                return;
            }
            started = now();
            if started >= turn_ends {
                break;
            }
        }
        self.undecoded.extend_from_slice(input);
    }

    /// Returns true if nothing more is decoded in this turn.
    fn is_decoding_stopped(&self) -> bool {
        self.is_deferred_full()
            || self.is_decoding_paused()
            || self.outbox().is_closing()
            || self.is_flush_due()
            || self.awaits_receivers()
    }

    /// Handles a message or a control frame.
    fn handle_message(&mut self, message: Message<'_>, started: Instant) {
        let (opcode, payload) = match message {
            Message::Text(payload) => (OpCode::Text, payload),
            Message::Binary(payload) => (OpCode::Binary, payload),
            Message::Ping(payload) => {
                let pong = frame::encode(OpCode::Pong, &payload);
                self.node().hub().deliver_ahead(self.session(), &pong);
                return;
            }
            Message::Pong(payload) => {
                received_pong(self.node(), self.session(), &payload);
                if inbox::acknowledge(self.node(), self.session(), &payload) {
                    self.input_limits.give_back_frame();
                }
                return;
            }
            Message::Close(close) => {
                let (code, reason) = close.unwrap_or((CloseCode::NO_STATUS, String::new()));
                self.close.is_peer_closed = true;
                return self.queue_close(code, &reason);
            }
        };
        self.meters().messages_received.increment(1);
        if let Some(raw) = self.server.raw {
            return raw(&self.socket, opcode, &payload);
        }
        let frame = match &payload {
            MessageBytes::Borrowed(bytes) => Buffer::Borrowed(bytes),
            MessageBytes::Owned(bytes) => Buffer::Shared(bytes),
        };
        match receive(&self.server, &self.socket, frame, started) {
            Ok(received) => self.handle_received(received, started),
            Err(error) => {
                self.meters().count_ignored_frame(error.reason());
                let error = with_causes(&error);
                limited!(DEBUG, socket = %self.socket.id(), error = printable(&error), "frame cannot be decoded; it is ignored");
                self.server.bad_frame(&self.socket, &error);
            }
        }
    }

    /// Counts the recipients of a frame, and handles its event.
    fn handle_received(&mut self, received: Received, started: Instant) {
        if let Err(error) = self.input_limits.count_recipients(received.recipients, self.socket.node()) {
            return self.close_over_limit(&error);
        }
        if let Some(request) = received.request {
            self.handle(request, started);
        }
    }

    /// Starts an event's handler, or defers the event if too many handlers are in flight.
    fn handle(&mut self, request: Request, started: Instant) {
        if self.deferred.is_empty() && !self.is_busy() {
            return self.server.handle(request, started);
        }
        self.deferred.push(request);
    }

    /// Closes the connection of a peer that violated the WebSocket protocol.
    fn close_invalid(&mut self, error: &ProtocolError) {
        let (code, client) = (error.close_code(), LoggedClient::Connected(self.session()));
        limited_by!(log_kind(code), INFO, socket = %self.socket.id(), client = client.address(), user = client.printable_user(), code = code.0, error = printable_error(error), "client violated the WebSocket protocol or its limits; connection closed");
        self.close.is_input_ignored = true;
        self.queue_close(error.close_code(), &error.to_string());
    }

    /// Closes the connection of a peer that exceeds a limit.
    fn close_over_limit(&mut self, error: &InputError) {
        let (code, client) = (error.close_code(), LoggedClient::Connected(self.session()));
        limited_by!(log_kind(code), INFO, socket = %self.socket.id(), client = client.address(), user = client.printable_user(), code = code.0, error = printable_error(error), "client exceeded a limit; connection closed");
        self.close.is_input_ignored = true;
        self.queue_close(error.close_code(), &error.to_string());
    }

    /// Queues a close frame behind everything that is queued already.
    fn queue_close(&mut self, code: CloseCode, reason: &str) {
        self.close.code = Some(code);
        self.close.reason = reason.into();
        // The answer to a peer's close frame repeats the code without the reason.
        let sent_reason = if self.close.is_peer_closed { "" } else { reason };
        self.node().hub().close(self.session(), close_frame(code, sent_reason));
    }

    /// Sends the frames that handlers queued for this connection during the current turn.
    fn flush_inline(&mut self, cx: &mut Context<'_>, scratch: &mut Vec<u8>) {
        loop {
            let outbox = &self.socket.session().outbox;
            let (flushed, sent) = match &mut self.stream {
                // This task is woken when the kernel accepts more.
                PeerStream::Tcp(_) | PeerStream::Tls(_) if outbox.is_blocked() => return,
                PeerStream::Tcp(tcp) => outbox.flush_by(scratch, |batch| tcp.send(batch)),
                PeerStream::Tls(tls) => outbox.flush_by(scratch, |batch| tls.send(batch)),
                other => outbox.flush_by(scratch, |batch| pending_blocks(other.poll_send(cx, batch))),
            };
            if sent > 0 {
                self.meters().bytes_sent.increment(sent as u64);
            }
            match flushed {
                Flushed::More => {}
                Flushed::Blocked => return self.flush_until_pending(cx),
                Flushed::Done => break,
            }
        }
        if self.outbox().is_closing() {
            // The next turn closes the connection.
            cx.waker().wake_by_ref();
        }
    }

    /// Sends the bytes that the kernel did not accept before, and registers the task to be woken when it accepts more.
    fn send_pending(&mut self, cx: &mut Context<'_>) {
        if self.stream.has_accepted() {
            let _ = self.stream.poll_accepted(cx);
        }
        if self.outbox().is_blocked() {
            self.flush_until_pending(cx);
        }
    }

    /// Sends until the stream accepts no more bytes, and registers the task to be woken when it does.
    fn flush_until_pending(&mut self, cx: &mut Context<'_>) {
        let (outbox, node) = (&self.socket.session().outbox, self.socket.node());
        let stream = &mut self.stream;
        let mut scratch = Vec::new();
        loop {
            let (flushed, sent) =
                outbox.flush_by(&mut scratch, |batch| pending_blocks(stream.poll_send(cx, batch)));
            node.meters().of(self.socket.session().protocol).bytes_sent.increment(sent as u64);
            if flushed == Flushed::Done || (flushed == Flushed::Blocked && sent == 0) {
                return;
            }
        }
    }
}

/// Most bytes that are decoded between two waits for the flusher lane.
fn flush_allowance(limits: &Limits) -> u32 {
    u32::try_from(limits.outbox_bytes_max / UNFLUSHED_PART).unwrap_or(u32::MAX).max(1)
}

/// Converts a pending send into `WouldBlock`, as the outbox expects.
fn pending_blocks(sent: Poll<io::Result<usize>>) -> io::Result<usize> {
    match sent {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}
