//! Clients of a server that goes away.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard::{App, Data, Reply, Resuming, Socket};
use switchboard_client::{Client, Options, Payload};
use switchboard_testkit::{Forwarder, TestServer, soon, until};
use tokio::sync::mpsc;

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3600);

async fn echo(Data(data): Data<Value>) -> Reply<Value> {
    Reply(data)
}

async fn enter(socket: Socket) -> Result<(), switchboard::ReplyError> {
    socket.join("#r")?;
    Ok(())
}

async fn rooms(socket: Socket) -> Reply<usize> {
    Reply(socket.rooms().len())
}

fn app() -> App {
    App::new().on("/echo", echo).on("/enter", enter).on("/rooms", rooms).with_resume(Resuming::default())
}

fn listen_to(client: &Client, event: &str) -> mpsc::Receiver<Value> {
    let (sender, receiver) = mpsc::channel(100);
    client.on(event, move |data: Payload| sender.try_send(data.to().unwrap()).unwrap());
    receiver
}

async fn next(receiver: &mut mpsc::Receiver<Value>) -> Value {
    soon("an event", receiver.recv()).await.expect("the client exists")
}

async fn connect(forwarder: &Forwarder) -> Client {
    let options = Options::default().with_reconnect(true).with_reconnect_delay(Duration::from_millis(20));
    Client::connect_with(&format!("ws://127.0.0.1:{}", forwarder.port()), options).await.unwrap()
}

#[tokio::test]
async fn a_client_moves_to_another_server_and_then_leaves_the_one_that_drains() {
    let (old, new) = (TestServer::start(app()).await, TestServer::start(app()).await);
    let forwarder = Forwarder::start(old.address.port()).await;
    let client = connect(&forwarder).await;
    client.request::<Value>("/enter", &json!({})).await.unwrap();
    let (mut disconnects, mut reconnects) =
        (listen_to(&client, "@disconnect"), listen_to(&client, "@reconnect"));
    forwarder.point_to(new.address.port());
    old.app.drain(LONG);
    assert_eq!(next(&mut disconnects).await["code"], 1012);
    // The other server does not know the session.
    assert_eq!(next(&mut reconnects).await, json!({ "attempt": 0, "resumed": false }));
    assert_eq!(client.request::<usize>("/rooms", &json!({})).await.unwrap(), 0);
    assert_eq!(new.app.total_sockets().await.unwrap(), 1);
    until("the old server has nobody", async || old.app.drain_status().connections == 0).await;
    client.close().await;
}

#[tokio::test]
async fn a_client_without_another_server_keeps_its_connection_until_the_drain_is_cancelled() {
    let server = TestServer::start(app()).await;
    let forwarder = Forwarder::start(server.address.port()).await;
    let client = connect(&forwarder).await;
    client.request::<Value>("/enter", &json!({})).await.unwrap();
    let mut errors = listen_to(&client, "@error");
    server.app.drain(LONG);
    for attempt in 1..3 {
        let error = next(&mut errors).await["error"].to_string();
        assert!(error.contains(&format!("move {attempt} to another node failed")), "{error}");
        assert_eq!(client.request::<Value>("/echo", &json!("still")).await.unwrap(), "still");
    }
    server.app.cancel_drain();
    assert_eq!(client.request::<usize>("/rooms", &json!({})).await.unwrap(), 1);
    client.close().await;
}

#[tokio::test]
async fn requests_that_are_made_while_the_client_moves_are_answered_by_one_of_the_servers() {
    let (old, new) = (TestServer::start(app()).await, TestServer::start(app()).await);
    let forwarder = Forwarder::start(old.address.port()).await;
    let client = connect(&forwarder).await;
    let mut reconnects = listen_to(&client, "@reconnect");
    forwarder.point_to(new.address.port());
    old.app.drain(LONG);
    let mut number = 0;
    while reconnects.try_recv().is_err() {
        number += 1;
        assert_eq!(client.request::<Value>("/echo", &json!(number)).await.unwrap(), number);
    }
    client.close().await;
}
