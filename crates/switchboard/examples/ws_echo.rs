//! A WebSocket echo server on the complete connection path, for conformance suites such as Autobahn.
//!
//! `cargo run --release --example ws_echo -- 127.0.0.1:9001`

use switchboard::{App, Limits, serve};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".into());
    let mut limits = Limits::default().without_rates();
    // The largest message of the Autobahn suite is 16 MiB.
    limits.message_bytes_max = 32 * 1024 * 1024;
    limits.outbox_bytes_max = 64 * 1024 * 1024;
    let app = App::new()
        .with_limits(limits)
        .with_raw_messages(|socket, opcode, payload| socket.send_raw(opcode, payload));
    let listener = tokio::net::TcpListener::bind(&address).await?;
    println!("echoing on ws://{}", listener.local_addr()?);
    serve(listener, app).await
}
