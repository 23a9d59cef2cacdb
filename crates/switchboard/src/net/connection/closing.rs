//! The end of a connection: the closing handshake, and the removal of its session.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use switchboard_log::{limited, limited_by, printable};
use switchboard_ws::Message;
use switchboard_ws::close::CloseCode;

use super::Connection;
use super::log_kind::log_kind;
use crate::net::buffers::with_buffers;
use crate::net::heartbeat::Heartbeats;
use crate::node::clock::now;
use crate::node::ending_session::{EndingSession, Guard};
use crate::node::flow_control;
use crate::node::logged_client::LoggedClient;
use crate::node::resume::{detach, end_session, is_moving};

impl Connection {
    /// Sends the close frame and waits for the peer's, both within the close time-out. Meanwhile the peer may send
    /// one burst more.
    pub(super) async fn finish_close(&mut self) {
        let timeout = self.node().limits().close_timeout;
        self.input_limits.begin_close(self.socket.node().limits(), now());
        let handshake = tokio::time::timeout(timeout, async {
            poll_fn(|cx| self.poll_drained(cx)).await;
            if self.close.is_input_ignored {
                self.stream.shutdown().await;
            }
            self.close.is_peer_awaited = !self.close.is_peer_closed && is_moving(self.session());
            self.close.is_peer_closed
                || self.close.is_peer_awaited
                || poll_fn(|cx| self.poll_peer_close(cx)).await
        });
        self.close.is_clean = handshake.await.unwrap_or(false);
        if !self.close.is_clean {
            limited!(DEBUG, socket = %self.socket.id(), "peer did not answer the close frame; connection aborted");
        }
    }

    /// Completes when the outbox is empty and the kernel has everything.
    fn poll_drained(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.register(cx);
        self.send_pending(cx);
        if !self.outbox().is_blocked() {
            with_buffers(|buffers| self.flush_inline(cx, &mut buffers.send));
        }
        if self.outbox().queued_bytes() > 0 {
            return Poll::Pending;
        }
        self.stream.poll_accepted(cx)
    }

    /// Reads until the peer's close frame or the end of the stream, and ignores other messages. Ready with false if
    /// the peer sends more than its limits allow.
    fn poll_peer_close(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut undecoded = std::mem::take(&mut self.undecoded);
        if let Some(outcome) = self.look_for_close(&mut undecoded) {
            return Poll::Ready(outcome);
        }
        loop {
            let outcome = with_buffers(|buffers| {
                let len = match ready!(self.stream.poll_read(cx, &mut buffers.read)) {
                    Ok(0) | Err(_) => return Poll::Ready(Some(true)),
                    Ok(len) => len,
                };
                if self.input_limits.count_bytes(len, self.socket.node().limits(), now()).is_err() {
                    return Poll::Ready(Some(false));
                }
                Poll::Ready(self.look_for_close(&mut buffers.read[..len]))
            });
            if let Some(outcome) = ready!(outcome) {
                return Poll::Ready(outcome);
            }
        }
    }

    /// Looks for the peer's close frame in input that is otherwise ignored: true if it is there, false if the peer
    /// exceeds its limits.
    fn look_for_close(&mut self, mut input: &mut [u8]) -> Option<bool> {
        while !self.close.is_input_ignored {
            let Ok(message) = self.decoder.next(&mut input) else {
                self.close.is_input_ignored = true;
                return None;
            };
            if self.input_limits.count_frames(&mut self.decoder, self.socket.node()).is_err() {
                return Some(false);
            }
            match message {
                Some(Message::Close(_)) => return Some(true),
                Some(_) => {}
                None => return None,
            }
        }
        None
    }

    /// Logs why the connection ends. At `info`, if the client has a fault that its operator can mend.
    fn log_close(&self, code: CloseCode, code_of_node: Option<CloseCode>) {
        let project = &self.session().project.id;
        let client = LoggedClient::Connected(self.session());
        if self.outbox().has_overflowed() {
            limited!(
                INFO,
                socket = %self.socket.id(),
                client = client.address(),
                user = client.printable_user(),
                project = printable(project),
                code = code.0,
                "client read too slowly and its outbox is full; connection closed"
            );
        } else {
            let by = match code_of_node.or(self.close.code) {
                _ if self.close.is_peer_closed => "client",
                Some(_) => "server",
                None => "none",
            };
            limited_by!(
                log_kind(code),
                DEBUG,
                socket = %self.socket.id(),
                client = client.address(),
                user = client.printable_user(),
                project = printable(project),
                code = code.0,
                by,
                reason = printable(&self.close.reason),
                "connection ended"
            );
        }
    }

    /// Ends the connection. Its session ends with it, unless the connection broke and the client may resume the session.
    /// `guard` is dropped with the session.
    pub(super) fn end(&mut self, guard: Option<Guard>) {
        let overflowed = self.outbox().has_overflowed().then_some(CloseCode::TRY_AGAIN_LATER);
        let code_of_node = self.connection_state().close_code().or(overflowed);
        let code = self.close.code.or(code_of_node).unwrap_or(CloseCode::ABNORMAL);
        self.log_close(code, code_of_node);
        self.node().extension::<Heartbeats>().of(self.session().protocol).forget(self.session());
        flow_control::forget(self.node(), self.session());
        let ending = EndingSession { session: self.session().clone(), guard, hooks: self.server.clone() };
        let ending =
            if self.is_broken(code_of_node) { detach(self.node(), ending, code.0) } else { Err(ending) };
        let is_code_of_peer = code_of_node != Some(code);
        if let Err(ending) = ending {
            end_session(self.node(), ending, code.0, &self.close.reason);
        }
        self.meters().count_closed(code.0, is_code_of_peer);
        self.input_limits.release();
    }

    /// Returns true if the connection broke, or the server restarts: nobody has decided to end the session.
    fn is_broken(&self, code_of_node: Option<CloseCode>) -> bool {
        self.close.code.is_none()
            && matches!(code_of_node, None | Some(CloseCode::ABNORMAL | CloseCode::RESTART))
    }

    /// Shuts the stream down after a clean close. Called after the session is removed, so a client that
    /// waits for the end of the stream before it reconnects, as browsers do, finds its seat free.
    pub(super) async fn shut_down_stream(&mut self) {
        if self.close.is_clean {
            let timeout = self.node().limits().close_timeout;
            let _ = tokio::time::timeout(timeout, async {
                if self.close.is_peer_awaited {
                    poll_fn(|cx| self.poll_peer_close(cx)).await;
                }
                self.stream.shutdown().await
            })
            .await;
        }
    }
}
