//! socketioxide on axum: the scenarios' events, and nothing else.

use serde_json::{Value, json};
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef};

async fn connected(socket: SocketRef) {
    socket.on("/join", async |socket: SocketRef, Data(data): Data<Value>, ack: AckSender| {
        let room = data["room"].as_str().unwrap_or_default().to_owned();
        socket.join(room.clone());
        ack.send(&json!({ "joined": room })).ok();
    });
    socket.on("/leave", async |socket: SocketRef, Data(data): Data<Value>, ack: AckSender| {
        let room = data["room"].as_str().unwrap_or_default().to_owned();
        socket.leave(room.clone());
        ack.send(&json!({ "left": room })).ok();
    });
    socket.on("/message", async |socket: SocketRef, Data(data): Data<Value>| {
        let room = data["room"].as_str().unwrap_or_default().to_owned();
        socket.to(room).emit("message", &data).await.ok();
    });
    socket.on("/ping", async |ack: AckSender| {
        ack.send(&json!({ "pong": true })).ok();
    });
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).ok_or("usage: bench-peer-socketioxide ADDRESS")?;
    let (layer, io) = SocketIo::new_layer();
    io.ns("/", connected);
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on ws://{}", listener.local_addr()?);
    axum::serve(listener, axum::Router::new().layer(layer)).await?;
    Ok(())
}
