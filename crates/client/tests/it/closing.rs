//! The end of a connection: close frames, time-outs, and the last clone of a client.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use switchboard::{App, Data};
use switchboard_client::{Client, EmitError, Options};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio_websockets::{CloseCode, Message};

use crate::{SOON, listen_to, next, scripted, start};

#[tokio::test]
async fn the_connection_closes_when_the_last_clone_is_dropped() {
    let (sender, mut disconnects) = mpsc::channel(1);
    let app = App::new().on("@disconnect", move |Data(end): Data<Value>| {
        let sender = sender.clone();
        async move { sender.try_send(end).unwrap() }
    });
    let client = Client::connect(&start(app).await).await.unwrap();
    drop(client.clone());
    assert!(client.connected());
    drop(client);
    assert_eq!(next(&mut disconnects).await["code"], 1000);
}

#[tokio::test]
async fn a_close_frame_is_answered() {
    let (sender, mut codes) = mpsc::channel(1);
    let url = scripted(async move |mut peer| {
        let code = CloseCode::try_from(4000).unwrap();
        peer.send(Message::close(Some(code), "enough")).await.unwrap();
        let code = peer.next().await.and_then(Result::ok).and_then(|frame| {
            let (code, _) = frame.as_close()?;
            Some(u16::from(code))
        });
        sender.send(json!(code)).await.unwrap();
    })
    .await;
    let client = Client::connect(&url).await.unwrap();
    assert_eq!(next(&mut codes).await, 4000);
    client.ended().await;
}

#[tokio::test]
async fn close_waits_for_unsent_frames_and_the_close_frame_of_the_server() {
    let (sender, mut read) = mpsc::channel(200);
    let url = scripted(async move |mut peer| {
        while let Some(Ok(message)) = peer.next().await {
            sender.send(json!(message.as_text())).await.unwrap();
        }
    })
    .await;
    let client = Client::connect(&url).await.unwrap();
    let mut disconnects = listen_to(&client, "@disconnect");
    for n in 0..100 {
        client.emit("/n", &n).await.unwrap();
    }
    client.close().await;
    assert_eq!(disconnects.try_recv().unwrap()["code"], 1000);
    assert!(matches!(client.emit("/n", &0).await, Err(EmitError::Disconnected)));
    for n in 0..100 {
        assert_eq!(next(&mut read).await, format!(r#"{{"event":"/n","data":{n}}}"#));
    }
}

/// A client with full buffers, because the server has stopped reading. The clock is paused from then on.
async fn stuck_client() -> Client {
    let url = scripted(async |peer| {
        let _open = peer;
        std::future::pending().await
    })
    .await;
    let client = Client::connect(&url).await.unwrap();
    tokio::time::pause();
    let data = "x".repeat(64 * 1024);
    while tokio::time::timeout(SOON, client.emit("/big", &data)).await.is_ok() {}
    assert!(matches!(client.try_emit("/big", &data), Err(EmitError::Busy)));
    client
}

#[tokio::test]
async fn close_ends_after_its_timeout_if_the_server_does_not_read() {
    let client = stuck_client().await;
    let mut disconnects = listen_to(&client, "@disconnect");
    let start = tokio::time::Instant::now();
    tokio::time::timeout(SOON, client.close()).await.expect("the close times out");
    assert_eq!(start.elapsed().as_secs(), 5);
    assert_eq!(disconnects.try_recv().unwrap(), json!({ "code": 1006, "reason": "" }));
    assert!(matches!(client.emit("/n", &0).await, Err(EmitError::Disconnected)));
}

#[tokio::test]
async fn a_dropped_client_ends_after_the_close_timeout_if_the_server_does_not_read() {
    let client = stuck_client().await;
    let mut disconnects = listen_to(&client, "@disconnect");
    let start = tokio::time::Instant::now();
    drop(client);
    assert_eq!(next(&mut disconnects).await["code"], 1006);
    assert_eq!(start.elapsed().as_secs(), 5);
}

#[tokio::test]
async fn close_ends_after_its_timeout_if_the_server_sends_no_close_frame() {
    let (sender, mut read) = mpsc::channel(1);
    let url = scripted(async move |peer| {
        let mut stream = peer.into_inner();
        let mut bytes = [0; 1024];
        let len = stream.read(&mut bytes).await.unwrap();
        // A masked close frame with code 1000 or without a code.
        sender.send(json!(bytes[0] == 0x88 && len <= 8)).await.unwrap();
        std::future::pending().await
    })
    .await;
    let options = Options::default().with_close_timeout(Duration::from_secs(3));
    let client = Client::connect_with(&url, options).await.unwrap();
    let mut disconnects = listen_to(&client, "@disconnect");
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    tokio::time::timeout(SOON, client.close()).await.expect("the close times out");
    assert_eq!(start.elapsed().as_secs(), 3);
    assert_eq!(disconnects.try_recv().unwrap()["code"], 1006);
    assert_eq!(next(&mut read).await, true);
}
