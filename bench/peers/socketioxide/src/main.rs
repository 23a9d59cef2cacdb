//! socketioxide on axum: the scenarios' events, and nothing else. Alone, or one of many nodes.
//!
//! `bench-peer-socketioxide HOST:PORT [REDIS]`

use std::error::Error;

use serde_json::{Value, json};
use socketioxide::SocketIo;
use socketioxide::adapter::Adapter;
use socketioxide::extract::{AckSender, Data, SocketRef};
use socketioxide::layer::SocketIoLayer;
use socketioxide_redis::drivers::redis::redis_client;
use socketioxide_redis::{RedisAdapter, RedisAdapterCtr};

async fn connected<A: Adapter>(socket: SocketRef<A>) {
    socket.on("/join", async |socket: SocketRef<A>, Data(data): Data<Value>, ack: AckSender<A>| {
        let room = data["room"].as_str().unwrap_or_default().to_owned();
        socket.join(room.clone());
        ack.send(&json!({ "joined": room })).ok();
    });
    socket.on("/leave", async |socket: SocketRef<A>, Data(data): Data<Value>, ack: AckSender<A>| {
        let room = data["room"].as_str().unwrap_or_default().to_owned();
        socket.leave(room.clone());
        ack.send(&json!({ "left": room })).ok();
    });
    socket.on("/message", async |socket: SocketRef<A>, Data(data): Data<Value>| {
        let room = data["room"].as_str().unwrap_or_default().to_owned();
        socket.to(room).emit("message", &data).await.ok();
    });
    socket.on("/ping", async |ack: AckSender<A>| {
        ack.send(&json!({ "pong": true })).ok();
    });
}

async fn serve<A: Adapter>(address: &str, layer: SocketIoLayer<A>) -> Result<(), Box<dyn Error>> {
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on ws://{}", listener.local_addr()?);
    axum::serve(listener, axum::Router::new().layer(layer)).await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("usage: bench-peer-socketioxide ADDRESS [REDIS]")?;
    let Some(redis) = arguments.next() else {
        let (layer, io) = SocketIo::new_layer();
        io.ns("/", connected);
        return serve(&address, layer).await;
    };
    let client = redis_client::Client::open(format!("redis://{redis}?protocol=resp3"))?;
    let adapter = RedisAdapterCtr::new_with_redis(&client).await?;
    let (layer, io) = SocketIo::builder().with_adapter::<RedisAdapter<_>>(adapter).build_layer();
    io.ns("/", connected).await?;
    serve(&address, layer).await
}
