//! One connection of the generator: handshake, masked frames out, counted frames in.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::protocol::Protocol;
use crate::walk::Walk;

/// Connections from one source address; a port range holds about 28,000.
const PER_ADDRESS: usize = 20_000;

/// A connection after its handshake.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    pub(crate) protocol: Protocol,
    walk: Walk,
}

/// What one read brought.
pub(crate) struct Heard {
    /// Frames that ended.
    pub(crate) frames: usize,
    /// The beginning of the last frame that began.
    pub(crate) last: Vec<u8>,
}

impl Peer {
    /// Connects the `number`th connection and shakes hands.
    pub(crate) async fn connect(server: SocketAddr, protocol: Protocol, number: usize) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        if number >= PER_ADDRESS && server.ip().is_loopback() {
            let last = 1 + (number / PER_ADDRESS) as u8;
            socket.bind(SocketAddr::from(([127, 0, 0, last], 0)))?;
        }
        let mut stream = socket.connect(server).await.context("cannot connect")?;
        stream.set_nodelay(true)?;
        let path = protocol.path();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let rest = read_answer(&mut stream).await?;
        let mut peer = Peer { stream, protocol, walk: Walk::default() };
        let mut heard = peer.walk.feed(&rest, |_| ());
        let (opening, frames) = protocol.opening();
        if let Some(opening) = opening {
            peer.send(opening).await?;
        }
        while heard < frames {
            heard += peer.read(&mut [0; 4096]).await?;
        }
        Ok(peer)
    }

    /// Sends a text.
    pub(crate) async fn send(&mut self, text: &str) -> Result<()> {
        Ok(self.stream.write_all(&masked(0x81, text.as_bytes())).await?)
    }

    /// Reads once, and says how many frames ended.
    pub(crate) async fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        Ok(self.hear(buffer).await?.frames)
    }

    /// Reads once; answers a ping of the protocol, which is not counted.
    pub(crate) async fn hear(&mut self, buffer: &mut [u8]) -> Result<Heard> {
        let len = self.stream.read(buffer).await?;
        ensure!(len > 0, "the server closed a connection");
        let (mut last, mut pings) = (Vec::new(), 0);
        let protocol = self.protocol;
        let frames = self.walk.feed(&buffer[..len], |payload| {
            pings += usize::from(protocol.is_ping(payload));
            last.clear();
            last.extend_from_slice(&payload[..payload.len().min(96)]);
        });
        if pings > 0 {
            self.send(Protocol::PONG).await?;
        }
        Ok(Heard { frames: frames - pings, last })
    }

    /// Sends a request and waits for one frame.
    pub(crate) async fn ask(&mut self, request: &str) -> Result<()> {
        self.send(request).await?;
        let mut buffer = [0; 4096];
        while self.read(&mut buffer).await? == 0 {}
        Ok(())
    }

    /// Comes into a room.
    pub(crate) async fn join(&mut self, room: &str) -> Result<()> {
        let request = self.protocol.request("/join", &format!(r#"{{"room":"{room}"}}"#));
        self.ask(&request).await
    }

    /// Closes and waits until the server has closed too.
    pub(crate) async fn close(mut self) -> Result<()> {
        self.stream.write_all(&masked(0x88, &1000_u16.to_be_bytes())).await?;
        while self.stream.read(&mut [0; 1024]).await? > 0 {}
        Ok(())
    }
}

/// A client's frame. The mask hides nothing here, so it is a fixed one.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x5a, 0x27, 0xc3, 0x91];
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..=125 => frame.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend((len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// Reads to the end of the HTTP answer; what came behind it is the first of the frames.
async fn read_answer(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut answer = Vec::new();
    loop {
        let len = stream.read_buf(&mut answer).await?;
        ensure!(len > 0, "the server closed during the handshake");
        if let Some(end) = memchr::memmem::find(&answer, b"\r\n\r\n") {
            let first = String::from_utf8_lossy(&answer[..answer.len().min(40)]).into_owned();
            ensure!(
                answer.starts_with(b"HTTP/1.1 101"),
                "the server refused: {}",
                first.lines().next().unwrap_or("")
            );
            return Ok(answer.split_off(end + 4));
        }
    }
}
