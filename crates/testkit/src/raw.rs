//! A peer at the level of bytes, for input that no client library sends.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::soon;

/// A valid opening request.
pub const HANDSHAKE: &str = "GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A TCP connection, usually after the handshake.
pub struct RawPeer {
    /// The connection.
    pub stream: TcpStream,
}

impl RawPeer {
    /// Connects and sends nothing.
    pub async fn connect(server: SocketAddr) -> Self {
        RawPeer { stream: TcpStream::connect(server).await.expect("the server listens") }
    }

    /// Connects and completes the handshake.
    pub async fn open(server: SocketAddr) -> Self {
        let mut peer = RawPeer::connect(server).await;
        peer.send(HANDSHAKE.as_bytes()).await;
        let response = peer.read_head().await;
        assert!(response.starts_with("HTTP/1.1 101"), "{response}");
        peer
    }

    /// Sends bytes unchanged.
    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the connection is open");
    }

    /// Reads an HTTP response up to the end of its headers.
    pub async fn read_head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match soon("the response", self.stream.read_u8()).await {
                Ok(byte) => head.push(byte),
                Err(_) => break,
            }
        }
        String::from_utf8(head).expect("headers are text")
    }

    /// Reads until the server closes.
    pub async fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // A reset ends the connection as well.
        let _ = soon("the end", self.stream.read_to_end(&mut bytes)).await;
        bytes
    }

    /// Reads until the server closes and returns the close code of the last frame; 1006 without one.
    pub async fn close_code(&mut self) -> u16 {
        let bytes = self.read_to_end().await;
        let mut rest = &bytes[..];
        let mut code = 1006;
        while let [first, len, payload @ ..] = rest {
            let (len, payload) = match (len, payload) {
                (126, [a, b, payload @ ..]) => (usize::from(u16::from_be_bytes([*a, *b])), payload),
                (len, payload) => (usize::from(*len), payload),
            };
            if first & 0x0f == 8 && len >= 2 {
                code = u16::from_be_bytes([payload[0], payload[1]]);
            }
            rest = &payload[len.min(payload.len())..];
        }
        code
    }
}

/// A frame of a client, masked with zeros.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    switchboard_ws::frame::masked(first, payload, [0; 4])
}
