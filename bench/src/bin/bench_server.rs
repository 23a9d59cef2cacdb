//! The server that the benchmarks measure: the relay of `switchboard serve` with its heartbeats and limits, on all three
//! protocols. One sender may send, and one address connect, at any rate.
//!
//! `cargo run --profile dist -p switchboard-bench --bin bench_server -- 127.0.0.1:3000`. With a second argument,
//! `127.0.0.1:6379`, the server is one of the nodes that share that Redis. With the variable `HISTORY=1` every room keeps its
//! messages. With `SHARED_RUNTIME=1` there are no worker threads. With the variables `BENCH_CERT` and `BENCH_KEY`, the paths of PEM files, connections use TLS.

use serde::Deserialize;
use switchboard::net::{AcceptOptions, Tls, WorkerThreads};
use switchboard::{
    App, Data, HistoryLimits, Identity, Koji, Limits, Mesa, Payload, ReplyError, Socket, Target, UserId,
    serve,
};
use switchboard_redis::{Options, Redis};
use switchboard_server::Mode;

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[derive(Deserialize)]
struct InRoom {
    room: String,
}

/// The counterpart of `/message` for Mesa clients: a room consists of the sockets of one user.
async fn dispatch(socket: Socket, Data(to): Data<InRoom>, data: Payload) -> Result<(), ReplyError> {
    socket.to(Target::user(&to.room)?).emit_payload("message", data)?;
    Ok(())
}

/// Like `/message` of the relay, with events that are dropped for a receiver with a full outbox.
async fn volatile(socket: Socket, Data(to): Data<InRoom>, data: Payload) -> Result<(), ReplyError> {
    socket.to(Target::room(&to.room)?).volatile().emit_payload("message", data)?;
    Ok(())
}

/// Accepts the user id as the token.
async fn verify(token: String) -> Result<Identity, switchboard::NameError> {
    Ok(Identity::new(UserId::new(&token)?))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".into());
    let mut app = Mode::Serve.install(App::new()).on("/volatile", volatile);
    let mut limits = Limits::default();
    limits.messages_per_s = Some(1_000_000);
    limits.connects_per_s = Some(1_000_000);
    app = app.with_koji(Koji::new()).with_mesa(Mesa::new().on("/message", dispatch)).with_verifier(verify);
    // No handler reads a header, as in the packaged server.
    let accept = AcceptOptions { kept_headers: Vec::new(), ..AcceptOptions::default() };
    app = app.with_limits(limits).with_accept_options(accept);
    let has_history = std::env::var_os("HISTORY").is_some();
    if has_history {
        app = app.with_room_history("*", HistoryLimits::default());
    }
    let redis = match arguments.next() {
        Some(redis) => {
            let options = Options { history: has_history, ..Options::new(&format!("redis://{redis}")) };
            Some(Redis::connect(options).await?)
        }
        None => None,
    };
    if let Some(redis) = &redis {
        app = app.with_backplane(redis);
    }
    let listener = tokio::net::TcpListener::bind(&address).await?;
    println!("listening on ws://{}", listener.local_addr()?);
    let mut serving = serve(listener, app);
    if std::env::var_os("SHARED_RUNTIME").is_none() {
        // As in the packaged server: one for each core.
        serving = serving.with_worker_threads(&WorkerThreads::start(0)?);
    }
    match (std::env::var_os("BENCH_CERT"), std::env::var_os("BENCH_KEY")) {
        (Some(cert), Some(key)) => {
            let tls = Tls::from_pem(std::fs::read(cert)?, std::fs::read(key)?)?;
            Ok(serving.with_tls(tls).await?)
        }
        _ => Ok(serving.await?),
    }
}
