//! What an idle connection holds on the heap, and what a request allocates, counted by the allocator.
//!
//! The client uses buffers that it has before, so everything that is counted belongs to the server.

use std::alloc::System;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde::Serialize;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use switchboard::net::{AcceptOptions, WorkerThreads};
use switchboard::{App, NoReply, Reply, Request};
use switchboard_testkit::TestServer;
use tokio::sync::{Mutex, MutexGuard};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The allocator counts the whole process, so the tests take turns.
async fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::const_new(());
    TURN.lock().await
}

#[derive(Serialize)]
struct Pong {
    pong: bool,
}

/// A server with one worker thread, as the packaged server: no handler reads a header.
async fn server() -> TestServer {
    let app = App::new()
        .on("/ping", async || Reply(Pong { pong: true }))
        .on("/join", async |request: Request| request.join("#room").map(|_| ()))
        .on("/send", async |request: Request| {
            request.to("#room").emit_payload("message", request.payload().clone()).map(|_| NoReply)
        })
        .with_accept_options(AcceptOptions { kept_headers: Vec::new(), ..AcceptOptions::default() });
    TestServer::start_on(app, &WorkerThreads::start(1).unwrap()).await
}

struct Client {
    stream: TcpStream,
    buffer: [u8; 1024],
}

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        let handshake = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(handshake.as_bytes()).unwrap();
        let mut client = Client { stream, buffer: [0; 1024] };
        assert!(client.receive().starts_with(b"HTTP/1.1 101"));
        client
    }

    /// Receives what one send of the server contains.
    fn receive(&mut self) -> &[u8] {
        let len = self.stream.read(&mut self.buffer).unwrap();
        assert_ne!(len, 0, "the server closed the connection");
        &self.buffer[..len]
    }

    fn request(&mut self, frame: &[u8]) -> &[u8] {
        self.stream.write_all(frame).unwrap();
        self.receive()
    }
}

/// A frame of a client with a text of less than 126 bytes, masked with zeros.
fn frame(text: &str) -> Vec<u8> {
    [&[0x81, 0x80 | text.len() as u8, 0, 0, 0, 0], text.as_bytes()].concat()
}

fn ping() -> Vec<u8> {
    frame(r#"{"event":"/ping","data":{},"ackId":"1"}"#)
}

/// Bytes that are allocated, without the rounding of the allocator.
fn live_bytes() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_idle_connection_holds_few_bytes() {
    let _alone = alone().await;
    let (server, ping) = (server().await, ping());
    let mut clients = Vec::with_capacity(400);
    let mut bytes_of_more = |count: usize| {
        let before = live_bytes();
        for _ in 0..count {
            clients.push(Client::connect(server.address));
        }
        // After an answer the connection is complete, and the memory of its handshake is free.
        for client in &mut clients {
            assert!(client.request(&ping).ends_with(br#""data":{"pong":true}}"#));
        }
        live_bytes() - before
    };
    bytes_of_more(200);
    let each = bytes_of_more(200) / 200;
    assert!(each <= IDLE_BYTES_MAX, "an idle connection holds {each} bytes, {IDLE_BYTES_MAX} are allowed");
}

/// See `docs/performance.md` for the parts.
const IDLE_BYTES_MAX: usize = 1300;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_request_costs_few_allocations() {
    const REQUESTS: usize = 1000;
    let _alone = alone().await;
    let (server, ping) = (server().await, ping());
    let mut client = Client::connect(server.address);
    let mut send = || {
        for _ in 0..REQUESTS {
            client.request(&ping);
        }
    };
    send();
    let before = ALLOCATOR.stats().allocations;
    send();
    let allocations = ALLOCATOR.stats().allocations - before;
    // The request, the future of the handler, and the frame of the reply; timers of the server may allocate.
    let max = 3 * REQUESTS + REQUESTS / 10;
    assert!(allocations <= max, "{allocations} allocations for {REQUESTS} requests, {max} are allowed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_large_message_is_in_memory_once_for_all_receivers_that_do_not_read() {
    const RECEIVERS: usize = 100;
    const BYTES: usize = 64 * 1024;
    // Fewer than the bound of an outbox.
    const MESSAGES: usize = 15;
    let _alone = alone().await;
    let server = server().await;
    let join = frame(r#"{"event":"/join","ackId":"1"}"#);
    let mut receivers: Vec<_> = (0..RECEIVERS).map(|_| Client::connect(server.address)).collect();
    for receiver in &mut receivers {
        receiver.request(&join);
    }
    let text = "x".repeat(BYTES);
    let before = live_bytes();
    for _ in 0..MESSAGES {
        assert_eq!(server.app.to("#room").emit("message", &text).unwrap(), RECEIVERS);
    }
    let held = live_bytes() - before;
    let max = MESSAGES * (BYTES + 4096) + RECEIVERS * 2048;
    assert!(held <= max, "{held} bytes for {MESSAGES} messages to {RECEIVERS} receivers, {max} are allowed");
    for receiver in &mut receivers {
        let mut received = 0;
        while received < MESSAGES * BYTES {
            received += receiver.receive().len();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_message_to_many_costs_no_allocation_per_receiver() {
    const RECEIVERS: usize = 200;
    const MESSAGES: usize = 20;
    let _alone = alone().await;
    let server = server().await;
    let join = frame(r#"{"event":"/join","ackId":"1"}"#);
    let message = frame(r#"{"event":"/send","data":{"text":"a message of some length"}}"#);
    let mut receivers: Vec<_> = (0..RECEIVERS).map(|_| Client::connect(server.address)).collect();
    for receiver in &mut receivers {
        receiver.request(&join);
    }
    let mut sender = Client::connect(server.address);
    let mut send = || {
        for _ in 0..MESSAGES {
            sender.stream.write_all(&message).unwrap();
            for receiver in &mut receivers {
                assert!(receiver.receive().ends_with(br#"{"text":"a message of some length"}}"#));
            }
        }
    };
    send();
    let before = ALLOCATOR.stats().allocations;
    send();
    let each = (ALLOCATOR.stats().allocations - before) / MESSAGES;
    assert!(each <= 40, "{each} allocations for a message to {RECEIVERS} receivers, 40 are allowed");
}
