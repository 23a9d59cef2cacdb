//! The parts of an idle connection, by size. The whole is measured by the test `tests/memory.rs`.

use switchboard_hub::{Outbox, Session};
use switchboard_ws::Decoder;

use super::input_limits::InputLimits;
use super::*;
use crate::net::tcp_peer::TcpPeer;
use crate::node::connection_info::ConnectionInfo;

/// The size of the future that a function returns.
fn future_bytes<A, B, F: Future>(_: impl Fn(A, B) -> F) -> usize {
    size_of::<F>()
}

#[test]
#[cfg(target_pointer_width = "64")]
fn the_parts_of_a_connection_do_not_grow() {
    // Tokio's part of the task and of the stream is not in the list: about 120 and 256 bytes.
    let parts = [
        ("the task", future_bytes(Connection::task), 328),
        ("the connection, in the task", size_of::<Connection>(), 248),
        ("limits on input, in the connection", size_of::<InputLimits>(), 64),
        ("the decoder, in the connection", size_of::<Decoder>(), 32),
        ("the handle of the socket, in the connection", size_of::<Socket>(), 48),
        ("the session", size_of::<Session>(), 192),
        ("the outbox, in the session", size_of::<Outbox>(), 104),
        ("the state of the connection, at the session", size_of::<ConnectionState>(), 128),
        ("the handshake, in the state", size_of::<ConnectionInfo>(), 40),
        ("the stream", size_of::<TcpPeer>(), 64),
    ];
    let grown: Vec<_> = parts.iter().filter(|(_, bytes, max)| bytes > max).collect();
    assert!(grown.is_empty(), "parts with more bytes than their maximum: {grown:#?}");
}
