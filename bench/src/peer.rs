//! One connection of the generator: handshake, masked frames out, counted frames in.

use std::cell::RefCell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};

use anyhow::{Context, Error, Result, anyhow, ensure};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::TcpSocket;

use crate::frame_parser::{FrameParser, Part};
use crate::protocol::Protocol;
use crate::stream::{self, Stream};

/// Connections from one source address; a port range holds about 28,000.
const PER_ADDRESS: usize = 20_000;

/// Maximum number of bytes of one read.
const READ_BYTES: usize = 64 * 1024;

thread_local! {
    /// The read buffer that all connections of a thread share.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// A connection after its handshake.
pub(crate) struct Peer {
    stream: Box<dyn Stream>,
    protocol: Protocol,
    parser: FrameParser,
    /// Bytes that arrived together with the handshake's response and are not yet read.
    early: Vec<u8>,
    /// The payload so far of an incomplete control frame.
    control: Vec<u8>,
    /// Sends the answers to pings.
    replies: Vec<u8>,
}

/// The messages of one read, without control frames and pings.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Received {
    /// Complete messages.
    pub(crate) messages: usize,
    /// Bytes of messages.
    pub(crate) bytes: usize,
}

impl Peer {
    /// Opens connection `number` and waits until the server is ready.
    pub(crate) async fn connect(
        server: SocketAddr,
        protocol: Protocol,
        path: &str,
        number: usize,
    ) -> Result<Self> {
        let mut peer = Peer::dial(server, protocol, path, number).await?;
        peer.ready(|_| ()).await?;
        Ok(peer)
    }

    /// Connects and finishes the handshake. The server's first messages are not read yet.
    pub(crate) async fn dial(
        server: SocketAddr,
        protocol: Protocol,
        path: &str,
        number: usize,
    ) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        if number >= PER_ADDRESS && server.ip().is_loopback() {
            let last = 1 + (number / PER_ADDRESS) as u8;
            socket.bind(SocketAddr::from(([127, 0, 0, last], 0)))?;
        }
        let stream = socket.connect(server).await.context("cannot connect")?;
        stream.set_nodelay(true)?;
        let mut stream = stream::open(stream).await?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let early = read_answer(&mut stream).await?;
        let parser = FrameParser::default();
        Ok(Peer { stream, protocol, parser, early, control: Vec::new(), replies: Vec::new() })
    }

    /// Waits until the server is ready for messages.
    pub(crate) async fn ready(&mut self, mut show: impl FnMut(Part<'_>)) -> Result<()> {
        let (opening, messages) = self.protocol.opening();
        if let Some(opening) = opening {
            self.send(opening).await?;
        }
        let mut received = 0;
        while received < messages {
            received += self.receive(&mut show).await?.messages;
        }
        Ok(())
    }

    /// Sends a text.
    pub(crate) async fn send(&mut self, text: &str) -> Result<()> {
        Ok(self.stream.write_all(&masked(0x81, text.as_bytes())).await?)
    }

    /// Reads once, passes the pieces of messages to `show` and answers pings. If the server has closed the
    /// connection, the error has its code and reason.
    pub(crate) async fn receive(&mut self, mut show: impl FnMut(Part<'_>)) -> Result<Received> {
        let received = poll_fn(|cx| self.poll_receive(cx, &mut show)).await?;
        if !self.replies.is_empty() {
            let replies = std::mem::take(&mut self.replies);
            self.stream.write_all(&replies).await?;
        }
        Ok(received)
    }

    fn poll_receive(
        &mut self,
        cx: &mut TaskContext<'_>,
        show: &mut impl FnMut(Part<'_>),
    ) -> Poll<Result<Received>> {
        if !self.early.is_empty() {
            let early = std::mem::take(&mut self.early);
            return Poll::Ready(self.parse(&early, show));
        }
        BUFFER.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(buffer);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
            Poll::Ready(self.parse(read.filled(), show))
        })
    }

    fn parse(&mut self, piece: &[u8], show: &mut impl FnMut(Part<'_>)) -> Result<Received> {
        ensure!(!piece.is_empty(), "the server closed the connection without a close frame");
        let Peer { parser, protocol, control, replies, .. } = self;
        let (mut received, mut closed) = (Received::default(), None);
        parser.feed(piece, |part| match part.opcode {
            8.. => {
                control.extend_from_slice(part.bytes);
                if part.ends {
                    let payload = std::mem::take(control);
                    match part.opcode {
                        8 => closed = Some(close_error(&payload)),
                        9 => replies.extend(masked(0x8a, &payload)),
                        _ => {}
                    }
                }
            }
            _ => match protocol.pong(&part) {
                Some(pong) => replies.extend(masked(0x81, pong.as_bytes())),
                None => {
                    received.messages += usize::from(part.ends);
                    received.bytes += part.bytes.len();
                    show(part);
                }
            },
        });
        closed.map_or(Ok(received), Err)
    }

    /// Sends a request and waits for one frame.
    pub(crate) async fn request(&mut self, request: &str) -> Result<()> {
        self.send(request).await?;
        while self.receive(|_| ()).await?.messages == 0 {}
        Ok(())
    }

    /// Joins a room, unless the handshake has done so.
    pub(crate) async fn join(&mut self, room: &str) -> Result<()> {
        match self.protocol.join(room) {
            Some(request) => self.request(&request).await,
            None => Ok(()),
        }
    }

    /// Closes the connection and waits for the server's end of it.
    pub(crate) async fn close(mut self) -> Result<()> {
        self.stream.write_all(&masked(0x88, &1000_u16.to_be_bytes())).await?;
        while self.stream.read(&mut [0; 1024]).await? > 0 {}
        Ok(())
    }
}

/// The error for a close frame of the server.
fn close_error(payload: &[u8]) -> Error {
    match payload.split_first_chunk() {
        Some((code, reason)) => {
            let (code, reason) = (u16::from_be_bytes(*code), String::from_utf8_lossy(reason));
            anyhow!("the server closed the connection with code {code}: {reason}")
        }
        None => anyhow!("the server closed the connection without a code"),
    }
}

/// A masked client frame. A fixed mask is enough for a benchmark.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    switchboard_ws::frame::masked(first, payload, [0x5a, 0x27, 0xc3, 0x91])
}

/// Reads to the end of the HTTP response and returns the bytes after it, which belong to frames.
async fn read_answer(stream: &mut Box<dyn Stream>) -> Result<Vec<u8>> {
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
