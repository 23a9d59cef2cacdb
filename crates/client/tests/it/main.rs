//! The client against a real server, and against scripted peers that violate the protocol.

mod closing;
mod connecting;
mod goaway;
mod listeners;
mod reconnects;
mod requests;
#[cfg(feature = "tls")]
mod tls;
mod transcripts;

use std::time::Duration;

use serde_json::Value;
use switchboard::{App, Data, Payload, Reply, Request, serve};
use switchboard_client::Client;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_websockets::{ServerBuilder, WebSocketStream};

/// A time-out that turns a hang into a failure.
const SOON: Duration = Duration::from_secs(10);

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// Starts a server that runs until the end of the test.
#[expect(clippy::disallowed_methods, reason = "a test's own task")]
async fn start(app: App) -> String {
    let (listener, url) = listen().await;
    tokio::spawn(async move { serve(listener, app).await });
    url
}

/// Registers a listener and returns the channel of its events.
fn listen_to(client: &Client, event: &str) -> mpsc::Receiver<Value> {
    let (sender, receiver) = mpsc::channel(100);
    client.on(event, move |data: Payload| sender.try_send(data.to().unwrap()).unwrap());
    receiver
}

async fn next(receiver: &mut mpsc::Receiver<Value>) -> Value {
    tokio::time::timeout(SOON, receiver.recv()).await.expect("no event in time").expect("the client exists")
}

async fn echo(Data(data): Data<Value>) -> Reply<Value> {
    Reply(data)
}

/// A peer that runs a script, for behaviour that a real server does not show.
#[expect(clippy::disallowed_methods, reason = "a test's own task")]
async fn scripted<Fut>(script: impl FnOnce(WebSocketStream<TcpStream>) -> Fut + Send + 'static) -> String
where
    Fut: Future<Output = ()> + Send + 'static,
{
    let (listener, url) = listen().await;
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (_, peer) = ServerBuilder::new().accept(stream).await.unwrap();
        script(peer).await;
    });
    url
}

async fn drop_me(request: Request) {
    request.socket().close(4000, "dropped");
}
