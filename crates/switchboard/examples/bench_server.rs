//! The smallest useful chat, which the benchmarks measure: all of it is the ordinary public API,
//! with heartbeats and limits on. One sender may send as fast as it can.
//!
//! `cargo run --release --example bench_server -- 127.0.0.1:3000`, and with `127.0.0.1:6379` behind it
//! as one of the nodes that share that Redis.

use serde::Deserialize;
use serde_json::{Value, json};
use switchboard::{
    App, Data, Identity, Koji, Limits, Mesa, Name, Payload, Reply, ReplyError, Socket, Target, serve,
};
use switchboard_redis::{Options, Redis};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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

/// The same for Mesa clients, whose room is all who are logged in as one user.
async fn dispatch(socket: Socket, Data(to): Data<InRoom>, data: Payload) -> Result<(), ReplyError> {
    socket.to(Target::user(&to.room)?).emit_payload("message", data)?;
    Ok(())
}

/// The token is the user's id.
async fn verify(token: String) -> Result<Identity, switchboard::NameError> {
    Ok(Identity { user: Name::new(&token)?, expires: None, profile: None })
}

async fn ping() -> Reply<Value> {
    Reply(json!({ "pong": true }))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".into());
    let mut app = App::new().on("/join", join).on("/leave", leave).on("/message", message).on("/ping", ping);
    let mut limits = Limits::default();
    limits.messages_per_s = Some(1_000_000);
    app = app.with_koji(Koji::new()).with_mesa(Mesa::new().on("/message", dispatch)).with_verifier(verify);
    app = app.with_limits(limits);
    let redis = match arguments.next() {
        Some(redis) => Some(Redis::connect(Options::new(&format!("redis://{redis}"))).await?),
        None => None,
    };
    if let Some(redis) = &redis {
        app = app.with_backplane(redis);
    }
    let listener = tokio::net::TcpListener::bind(&address).await?;
    println!("listening on ws://{}", listener.local_addr()?);
    Ok(serve(listener, app).await?)
}
