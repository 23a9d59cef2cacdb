//! The floor: the least possible cost of a server.
//!
//! One thread, one epoll loop, frames that are encoded once, and one plain `send` per receiver
//! and message. It implements just enough of emit for the scenarios, and no other duty of a
//! server.

use std::collections::HashMap;
use std::io::{self, Read, Write};

use anyhow::{Context, Result};
use memchr::memmem::find;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

const LISTENER: Token = Token(usize::MAX);

struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
    open: bool,
}

#[derive(Default)]
struct Floor {
    connections: HashMap<usize, Connection>,
    rooms: HashMap<Vec<u8>, Vec<usize>>,
    next: usize,
}

fn main() -> Result<()> {
    let address = std::env::args().nth(1).context("usage: floor ADDRESS")?.parse()?;
    let mut listener = TcpListener::bind(address)?;
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("listening on ws://{}", listener.local_addr()?);
    let (mut floor, mut events, mut buffer) =
        (Floor::default(), Events::with_capacity(1024), vec![0; 64 * 1024]);
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    let _ = stream.set_nodelay(true);
                    let token = Token(floor.next);
                    poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
                    let connection =
                        Connection { stream, input: Vec::new(), output: Vec::new(), open: false };
                    floor.connections.insert(floor.next, connection);
                    floor.next += 1;
                }
                continue;
            }
            let id = event.token().0;
            if event.is_writable() {
                floor.send(id, &[]);
            }
            if event.is_readable() && !floor.read(id, &mut buffer) {
                floor.close(id);
            }
        }
    }
}

impl Floor {
    /// Reads until the socket would block. Returns false at the end of the connection.
    fn read(&mut self, id: usize, buffer: &mut [u8]) -> bool {
        loop {
            let Some(connection) = self.connections.get_mut(&id) else { return true };
            match connection.stream.read(buffer) {
                Ok(0) => return false,
                Ok(len) => connection.input.extend_from_slice(&buffer[..len]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
            let short = connection.input.len() < buffer.len();
            let mut input = std::mem::take(&mut connection.input);
            let used = match connection.open {
                true => self.frames(id, &mut input),
                false => self.handshake(id, &input),
            };
            let Some(used) = used else { return false };
            input.drain(..used);
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.input = input;
            }
            if short {
                return true;
            }
        }
    }

    fn handshake(&mut self, id: usize, input: &[u8]) -> Option<usize> {
        let Some(end) = find(input, b"\r\n\r\n") else { return Some(0) };
        // The generator always sends the key of the RFC's example.
        self.send(
            id,
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
              Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        );
        self.connections.get_mut(&id)?.open = true;
        Some(end + 4)
    }

    /// Handles the complete frames in `input`. `None` ends the connection.
    fn frames(&mut self, id: usize, input: &mut [u8]) -> Option<usize> {
        let mut used = 0;
        loop {
            let rest = &mut input[used..];
            let (len, header) = match rest {
                [_, short, ..] if *short & 0x7f < 126 => (usize::from(*short & 0x7f), 6),
                [_, short, a, b, ..] if *short & 0x7f == 126 => {
                    (usize::from(u16::from_be_bytes([*a, *b])), 8)
                }
                _ => return Some(used),
            };
            if rest.len() < header + len {
                return Some(used);
            }
            let opcode = rest[0] & 0x0f;
            let mask = [rest[header - 4], rest[header - 3], rest[header - 2], rest[header - 1]];
            let payload = &mut rest[header..header + len];
            payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
            if opcode == 8 {
                self.send(id, &frame(0x88, payload));
                return None;
            }
            self.message(id, payload);
            used += header + len;
        }
    }

    fn message(&mut self, id: usize, payload: &[u8]) {
        let Some(data) = find(payload, b"\"data\":").map(|at| &payload[at + 7..]) else { return };
        if payload.starts_with(b"{\"event\":\"/message\"") {
            let mut text = b"{\"event\":\"message\",\"data\":".to_vec();
            text.extend_from_slice(data);
            let frame = frame(0x81, &text);
            let members = room_of(data).and_then(|room| self.rooms.get(room)).cloned().unwrap_or_default();
            members.into_iter().filter(|member| *member != id).for_each(|member| self.send(member, &frame));
            return;
        }
        if payload.starts_with(b"{\"event\":\"/join\"")
            && let Some(room) = room_of(data)
        {
            self.rooms.entry(room.to_vec()).or_default().push(id);
        }
        self.send(id, &frame(0x81, br#"{"type":"ack","ackId":"1","data":{"pong":true}}"#));
    }

    /// Sends once. The rest is queued until the socket is writable.
    fn send(&mut self, id: usize, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.output.is_empty() && !bytes.is_empty() {
            match connection.stream.write(bytes) {
                Ok(sent) => connection.output.extend_from_slice(&bytes[sent..]),
                Err(_) => connection.output.extend_from_slice(bytes),
            }
            return;
        }
        connection.output.extend_from_slice(bytes);
        if !connection.output.is_empty()
            && let Ok(sent) = connection.stream.write(&connection.output)
        {
            connection.output.drain(..sent);
        }
    }

    fn close(&mut self, id: usize) {
        self.connections.remove(&id);
        self.rooms.retain(|_, members| {
            members.retain(|member| *member != id);
            !members.is_empty()
        });
    }
}

fn room_of(data: &[u8]) -> Option<&[u8]> {
    let start = find(data, b"\"room\":\"")? + 8;
    let len = data[start..].iter().position(|byte| *byte == b'"')?;
    Some(&data[start..start + len])
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..=125 => frame.push(len as u8),
        len => {
            frame.push(126);
            frame.extend((len as u16).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}
