//! A chat with one room: joins are announced, and every line of a member is sent to all members.
//!
//! `cargo run --example chat -p switchboard` (an address such as `127.0.0.1:8080` may follow `--`), then in two terminals
//! `switchboard tail ws://127.0.0.1:3000` and
//! `switchboard emit ws://127.0.0.1:3000 /join '{"username":"Ann"}' --request`

use serde::Deserialize;
use serde_json::{Value, json};
use switchboard::{App, Data, Reply, ReplyError, Request, serve};

#[derive(Deserialize)]
struct Join {
    username: String,
}

#[derive(Deserialize)]
struct Line {
    text: String,
}

async fn join(request: Request, Data(Join { username }): Data<Join>) -> Result<Reply<Value>, ReplyError> {
    request.join("#chat")?;
    request.to("#chat").emit("user-joined", &json!({ "username": username }))?;
    request.set("username", username);
    Ok(Reply(json!({ "joined": true })))
}

async fn message(request: Request, Data(Line { text }): Data<Line>) -> Result<(), ReplyError> {
    if !request.is_in("#chat") {
        return Err(ReplyError::new("not_in_room", "join the chat first"));
    }
    let username: Option<String> = request.get("username");
    let line = json!({ "username": username, "text": text });
    request.to("#chat").including_self().emit("message", &line)?;
    Ok(())
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let app = App::new()
        .on("@connection", async |request: Request| println!("{} connected", request.id()))
        .on("/join", join)
        .on("/message", message);
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".into());
    let listener = tokio::net::TcpListener::bind(&address).await?;
    println!("listening on ws://{}", listener.local_addr()?);
    serve(listener, app).await
}
