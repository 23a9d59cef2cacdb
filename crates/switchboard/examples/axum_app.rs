//! An axum app with a page, an HTTP route that broadcasts, and Switchboard on one route.
//!
//! `cargo run --example axum_app -p switchboard`, then open http://127.0.0.1:3000/ and
//! `curl -d 'hello' http://127.0.0.1:3000/news`

use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::response::Html;
use axum::routing::{get, post};
use serde_json::{Value, json};
use switchboard::{App, Data, Reply, ReplyError, Socket};

const PAGE: &str = r#"<!doctype html>
<meta charset="utf-8">
<title>News</title>
<ul id="news"></ul>
<script>
  const socket = new WebSocket(`ws://${location.host}/ws`);
  socket.onmessage = ({ data }) => {
    const line = document.createElement("li");
    line.textContent = data;
    document.getElementById("news").append(line);
  };
</script>
"#;

async fn say(socket: Socket, Data(text): Data<String>) -> Result<Reply<Value>, ReplyError> {
    let receivers = socket.broadcast("said", &text)?;
    Ok(Reply(json!({ "receivers": receivers })))
}

async fn news(State(live): State<App>, text: String) -> String {
    match live.broadcast("news", &text) {
        Ok(receivers) => format!("sent to {receivers} connections\n"),
        Err(error) => format!("not sent: {error}\n"),
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let live = App::new().on("/say", say);
    let router = Router::new()
        .route("/", get(async || Html(PAGE)))
        .route("/news", post(news))
        .with_state(live.clone())
        .route_service("/ws", live.into_service());
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".into());
    let listener = tokio::net::TcpListener::bind(&address).await?;
    println!("open http://{}/", listener.local_addr()?);
    axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>()).await
}
