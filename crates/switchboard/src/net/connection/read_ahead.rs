//! Reading while the protocol has paused decoding, so that the end of the connection is noticed.

use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use super::{Connection, Turn};
use crate::net::buffers::with_buffers;
use crate::node::clock::now;

/// At most this much is read while decoding is paused. If the client sends more, the end of the connection is noticed only when
/// decoding continues.
const READ_AHEAD_BYTES_MAX: usize = 16 * 1024;

/// The opcode of a close frame, in the low bits of a frame's first byte.
const CLOSE: u8 = 8;

impl Connection {
    /// Reads bytes that are decoded later. Completes if the client has disconnected, or if its next frame is a close frame. A
    /// client that has sent other frames first is noticed when those are decoded.
    pub(super) fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        loop {
            if is_close(&self.undecoded) {
                self.connection_state().is_decoding_paused.store(false, Ordering::Relaxed);
                return Poll::Ready(Turn::Done);
            }
            let left = READ_AHEAD_BYTES_MAX.saturating_sub(self.undecoded.len());
            if left == 0 {
                return Poll::Pending;
            }
            let read = with_buffers(|buffers| {
                let len = left.min(buffers.read.len());
                let read = self.stream.poll_read(cx, &mut buffers.read[..len]);
                if let Poll::Ready(Ok(len)) = read {
                    self.undecoded.extend_from_slice(&buffers.read[..len]);
                }
                read
            });
            match read {
                Poll::Ready(Err(_)) => return Poll::Ready(Turn::Disconnected),
                Poll::Ready(Ok(0)) if self.undecoded.is_empty() => return Poll::Ready(Turn::Disconnected),
                Poll::Ready(Ok(0)) | Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(len)) => {
                    if let Err(error) = self.count_read(len, now()) {
                        self.close_over_limit(&error);
                        return Poll::Ready(Turn::Done);
                    }
                }
            }
        }
    }
}

/// Returns true if the input begins with a complete close frame. Decoding has paused after a whole frame.
fn is_close(input: &[u8]) -> bool {
    match input {
        [first, second, rest @ ..] if first & 0x0f == CLOSE => {
            let mask = if second & 0x80 == 0 { 0 } else { 4 };
            rest.len() >= mask + usize::from(second & 0x7f)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complete_close_frame_at_the_start_is_recognized() {
        assert!(is_close(&[0x88, 0x80, 0, 0, 0, 0]));
        assert!(is_close(&[0x88, 0x82, 0, 0, 0, 0, 3, 232, 0x81]));
        for input in [&[][..], &[0x88], &[0x88, 0x82, 0, 0, 0, 0, 3], &[0x81, 0x80, 0, 0, 0, 0, 0x88, 0x80]] {
            assert!(!is_close(input), "{input:?}");
        }
    }
}
