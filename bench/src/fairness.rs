//! Requests of one client during a fan-out without pause.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;

use crate::clock::now;
use crate::frame_parser::FrameParser;
use crate::peer::masked;
use crate::report::{Latency, Report, histogram};
use crate::scenario::Bench;

impl Bench {
    /// The bystander has a thread of its own, so that it does not wait for the generator's other work.
    pub(crate) async fn fairness(&self) -> Result<Report> {
        let request = self.options.protocol.request("/ping", "{}")?;
        let count = self.connections(10_000)?;
        let mut room = self.room(count).await?;
        let stop = Arc::new(AtomicBool::new(false));
        let bystander = {
            let (server, stop) = (self.server(0), stop.clone());
            std::thread::spawn(move || request_until(server, &masked(0x81, request.as_bytes()), &stop))
        };
        let start = self.start()?;
        let messages = room.send_windows(1, self.duration(), || self.message()).await?;
        let deliveries = messages * count as u64;
        room.all_received(deliveries).await?;
        stop.store(true, Ordering::Relaxed);
        let latency = bystander.join().map_err(|_| anyhow::anyhow!("the bystander panicked"))??;
        Ok(Report { latency_us: Some(Latency::of(&latency)), ..self.report(deliveries, start)? })
    }
}

/// Sends requests with a pause between them, so that they are a light load.
fn request_until(server: SocketAddr, request: &[u8], stop: &AtomicBool) -> Result<Histogram<u64>> {
    // The generator's core is busy. Without a higher priority, waiting for the core would count as latency
    // of the server. Without permission to raise the priority, the figure includes both.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), -20);
    let mut stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.write_all(
        b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
          Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )?;
    let mut buffer = [0; 4096];
    let mut answer = Vec::new();
    while memchr::memmem::find(&answer, b"\r\n\r\n").is_none() {
        let len = stream.read(&mut buffer)?;
        ensure!(len > 0, "the server closed during the handshake");
        answer.extend_from_slice(&buffer[..len]);
    }
    let (mut parser, mut latency) = (FrameParser::default(), histogram()?);
    while !stop.load(Ordering::Relaxed) {
        let sent = now();
        stream.write_all(request)?;
        let mut answered = false;
        while !answered {
            let len = stream.read(&mut buffer)?;
            ensure!(len > 0, "the server closed the bystander");
            parser.feed(&buffer[..len], |part| answered |= part.ends);
        }
        latency.saturating_record(sent.elapsed().as_micros() as u64);
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(latency)
}
