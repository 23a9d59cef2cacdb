//! The smallest useful chat, which the benchmarks measure: all of it is the ordinary public API,
//! with heartbeats and limits on.
//!
//! `cargo run --release --example bench_server -- 127.0.0.1:3000`

use serde::Deserialize;
use serde_json::{Value, json};
use switchboard::{App, Data, Koji, Payload, Reply, ReplyError, Socket, serve};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[derive(Deserialize)]
struct InRoom {
    room: String,
}

async fn join(socket: Socket, Data(to): Data<InRoom>) -> Result<Reply<Value>, ReplyError> {
    socket.join(&to.room)?;
    Ok(Reply(json!({ "joined": to.room })))
}

async fn leave(socket: Socket, Data(from): Data<InRoom>) -> Result<Reply<Value>, ReplyError> {
    socket.leave(&from.room)?;
    Ok(Reply(json!({ "left": from.room })))
}

/// The data goes on exactly as it came: it is looked into for the room, and not rebuilt.
async fn message(socket: Socket, Data(to): Data<InRoom>, data: Payload) -> Result<(), ReplyError> {
    socket.to(format!("#{}", to.room)).emit_payload("message", data)?;
    Ok(())
}

async fn ping() -> Reply<Value> {
    Reply(json!({ "pong": true }))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".into());
    let app = App::new().on("/join", join).on("/leave", leave).on("/message", message).on("/ping", ping);
    let app = app.with_koji(Koji::new());
    let listener = tokio::net::TcpListener::bind(&address).await?;
    println!("listening on ws://{}", listener.local_addr()?);
    serve(listener, app).await
}
