//! The end of a connection: the closing handshake, and the removal of its session.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use switchboard_backplane::ClientAction;
use switchboard_log::limited;
use switchboard_ws::Item;
use switchboard_ws::close::CloseCode;

use super::Connection;
use crate::net::buffers::with_buffers;
use crate::net::heartbeat::Heartbeats;
use crate::node::inbox;
use crate::node::reports::PendingReport;

impl Connection {
    /// Sends the close frame and waits for the peer's, both within the close time-out.
    pub(super) async fn finish_close(&mut self) {
        let timeout = self.node().limits().close_timeout;
        let handshake = tokio::time::timeout(timeout, async {
            poll_fn(|cx| self.poll_drained(cx)).await;
            if self.close.is_input_invalid {
                self.stream.shutdown().await;
            }
            if !self.close.is_peer_closed {
                poll_fn(|cx| self.poll_peer_close(cx)).await;
            }
        });
        self.close.is_clean = handshake.await.is_ok();
        if !self.close.is_clean {
            limited!(DEBUG, socket = %self.socket.id(), "peer did not answer the close frame in time; connection aborted");
        }
    }

    /// Completes when the outbox is empty.
    fn poll_drained(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.register(cx);
        if self.outbox().is_blocked() {
            self.flush_until_pending(cx);
        } else {
            with_buffers(|buffers| self.flush_inline(cx, &mut buffers.send));
        }
        if self.outbox().queued_bytes() == 0 { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Reads until the peer's close frame or the end of the stream, and ignores other messages.
    fn poll_peer_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let is_closed = with_buffers(|buffers| {
                let len = match ready!(self.stream.poll_read(cx, &mut buffers.read)) {
                    Ok(0) | Err(_) => return Poll::Ready(true),
                    Ok(len) => len,
                };
                let mut input = &mut buffers.read[..len];
                Poll::Ready(!self.close.is_input_invalid && self.has_close_frame(&mut input))
            });
            if ready!(is_closed) {
                return Poll::Ready(());
            }
        }
    }

    /// Returns true if the input contains the peer's close frame.
    fn has_close_frame(&mut self, input: &mut &mut [u8]) -> bool {
        let mut input = std::mem::take(input);
        loop {
            match self.decoder.next(&mut input) {
                Ok(Some(Item::Close(_))) => return true,
                Ok(Some(_)) => {}
                Ok(None) => return false,
                Err(_) => {
                    self.close.is_input_invalid = true;
                    return false;
                }
            }
        }
    }

    /// Removes the session from the node, and notifies the report sink and the `@disconnect` hooks.
    pub(crate) fn remove_session(&mut self) {
        let overflowed = self.outbox().has_overflowed().then_some(CloseCode::TRY_AGAIN_LATER);
        let code_of_node = self.conn().close_code().or(overflowed);
        let code = self.close.code.or(code_of_node).unwrap_or(CloseCode::ABNORMAL);
        inbox::release(self.node(), self.session());
        // Made before the removal, because the hub then no longer knows the session's user.
        let report =
            PendingReport::of(self.node(), self.session(), ClientAction::Disconnected { code: code.0 });
        self.node().hub().remove(self.session());
        self.node().extension::<Heartbeats>().of(self.session().protocol).forget(self.session());
        self.node().token_bindings.lock().remove(self.socket.id());
        self.conn().mark_disconnected();
        self.node().meters().closed(code.0, code_of_node != Some(code));
        report.into_iter().for_each(PendingReport::send);
        self.server.notify_disconnected(&self.socket, code.0, &self.close.reason);
    }

    /// Shuts the stream down after a clean close. Called after the session is removed, so a client that
    /// waits for the end of the stream before it reconnects, as browsers do, finds its seat free.
    pub(crate) async fn shut_down_stream(&mut self) {
        if self.close.is_clean {
            let timeout = self.node().limits().close_timeout;
            let _ = tokio::time::timeout(timeout, self.stream.shutdown()).await;
        }
    }
}
