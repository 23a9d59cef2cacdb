//! Listeners, and the frames that they receive or that are reported as errors.

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use switchboard::{App, Payload, Reply, Request};
use switchboard_client::{Client, Options};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio_websockets::{Message, ServerBuilder};

use crate::{SOON, echo, listen, listen_to, next, scripted, start};

#[tokio::test]
async fn listeners_are_called_in_order_until_they_are_removed() {
    let app = App::new().on("/count", async |request: Request| {
        for n in 1..=3 {
            request.emit("n", &n).unwrap();
        }
        Reply(true)
    });
    let client = Client::connect(&start(app).await).await.unwrap();
    let mut any = listen_to(&client, "@any");
    let (sender, mut received) = mpsc::channel(100);
    let subscription = client.on_data("n", move |n: u32| sender.try_send(n).unwrap());
    assert!(client.request::<bool>("/count", &()).await.unwrap());
    let mut all = Vec::new();
    received.recv_many(&mut all, 100).await;
    assert_eq!(all, [1, 2, 3]);
    subscription.off();
    assert!(client.request::<bool>("/count", &()).await.unwrap());
    assert!(received.try_recv().is_err());
    assert_eq!(next(&mut any).await, json!({ "event": "n", "data": 1 }));
}

#[tokio::test]
async fn a_panic_of_a_listener_is_reported_and_the_client_continues() {
    let app =
        App::new().on("/echo", echo).on("/bad", async |request: Request| request.emit("bad", &1).unwrap());
    let client = Client::connect(&start(app).await).await.unwrap();
    let mut errors = listen_to(&client, "@error");
    client.on("bad", |_| panic!("on purpose"));
    client.emit("/bad", &()).await.unwrap();
    assert_eq!(next(&mut errors).await, json!({ "error": "a listener of bad panicked" }));
    assert_eq!(client.request::<u32>("/echo", &5).await.unwrap(), 5);
}

#[tokio::test]
async fn invalid_frames_are_reported_and_skipped() {
    let (listener, url) = listen().await;
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        let (_, mut peer) = ServerBuilder::new().accept(stream).await.unwrap();
        // The client has registered its listeners when it emits.
        peer.next().await.unwrap().unwrap();
        for text in ["{", "[]", "{\"data\":1}", "{\"event\":\"@error\"}", "{\"event\":\"good\",\"data\":1}"] {
            peer.send(Message::text(text)).await.unwrap();
        }
        while peer.next().await.is_some_and(|message| message.is_ok()) {}
    };
    let client = async {
        let client = Client::connect(&url).await.unwrap();
        let (mut errors, mut good) = (listen_to(&client, "@error"), listen_to(&client, "good"));
        client.emit("/ready", &()).await.unwrap();
        assert_eq!(next(&mut good).await, json!(1));
        let expected = "frame is not a JSON object: EOF while parsing an object at line 1 column 1";
        assert_eq!(next(&mut errors).await["error"], expected);
        for _ in 1..4 {
            assert!(next(&mut errors).await["error"].is_string());
        }
        assert!(errors.try_recv().is_err());
        client.close().await;
    };
    tokio::join!(server, client);
}

#[tokio::test]
async fn numbers_beyond_double_precision_are_delivered_unchanged() {
    let url = scripted(async |mut peer| {
        peer.next().await.unwrap().unwrap();
        peer.send(Message::text(r#"{"event":"n","data":[1e400,12345678901234567890123]}"#)).await.unwrap();
        while peer.next().await.is_some_and(|message| message.is_ok()) {}
    })
    .await;
    let client = Client::connect(&url).await.unwrap();
    let (sender, mut received) = mpsc::channel(10);
    for event in ["@any", "n"] {
        let sender = sender.clone();
        client.on(event, move |data: Payload| sender.try_send(data).unwrap());
    }
    client.emit("/ready", &()).await.unwrap();
    let mut next =
        async || tokio::time::timeout(SOON, received.recv()).await.expect("no event in time").unwrap();
    let data = "[1e400,12345678901234567890123]";
    assert_eq!(format!("{:?}", next().await), format!(r#"{{"event":"n","data":{data}}}"#));
    assert_eq!(format!("{:?}", next().await), data);
    assert!(client.connected());
}

#[tokio::test]
async fn a_server_that_never_completes_a_message_is_disconnected() {
    let fragments = [&b"\x01\x01{"[..], &[0; 1000]].concat();
    for bytes in [b"\x89\x00".repeat(500), b"\x8a\x7d".iter().copied().chain([0; 125]).collect(), fragments] {
        let url = scripted(async move |mut peer| {
            while peer.get_mut().write_all(&bytes).await.is_ok() {
                // The first fragment begins a message once.
                if bytes[0] == 1 {
                    while peer.get_mut().write_all(&bytes[3..]).await.is_ok() {}
                }
            }
        })
        .await;
        let options = Options::default().with_message_bytes_max(100_000);
        let client = Client::connect_with(&url, options).await.unwrap();
        tokio::time::timeout(SOON, client.ended()).await.expect("the client gives up");
    }
}

#[tokio::test]
async fn a_large_message_in_fragments_is_delivered() {
    let text = format!(r#"{{"event":"big","data":"{}"}}"#, "x".repeat(100_000));
    let url = scripted(async move |mut peer| {
        peer.next().await.unwrap().unwrap();
        for round in 0..5 {
            for (n, piece) in text.as_bytes().chunks(100).enumerate() {
                let (first, last) = (n == 0, 100 * (n + 1) >= text.len());
                let head = [u8::from(first) | if last { 0x80 } else { 0 }, piece.len() as u8];
                let frames = [&head[..], piece, b"\x89\x00"].concat();
                peer.get_mut().write_all(&frames).await.unwrap_or_else(|error| panic!("{round}: {error}"));
            }
        }
        while peer.next().await.is_some_and(|message| message.is_ok()) {}
    })
    .await;
    let options = Options::default().with_message_bytes_max(110_000);
    let client = Client::connect_with(&url, options).await.unwrap();
    let mut received = listen_to(&client, "big");
    client.emit("/ready", &()).await.unwrap();
    for _ in 0..5 {
        assert_eq!(next(&mut received).await.as_str().unwrap().len(), 100_000);
    }
}

#[tokio::test]
async fn a_peer_that_writes_everything_before_it_reads_does_not_block_the_client() {
    const MESSAGES: usize = 512;
    let (sender, mut read) = mpsc::channel(1);
    let url = scripted(async move |mut peer| {
        let text = format!(r#"{{"event":"big","data":"{}"}}"#, "x".repeat(64 * 1024));
        for _ in 0..MESSAGES {
            peer.send(Message::text(text.clone())).await.unwrap();
        }
        for _ in 0..MESSAGES {
            peer.next().await.unwrap().unwrap();
        }
        sender.send(json!("all")).await.unwrap();
        while peer.next().await.is_some_and(|message| message.is_ok()) {}
    })
    .await;
    let client = Client::connect(&url).await.unwrap();
    let data = "x".repeat(64 * 1024);
    // One time-out per message, since the total depends on the speed of the machine.
    for _ in 0..MESSAGES {
        let emit = tokio::time::timeout(SOON, client.emit("/big", &data));
        emit.await.expect("the client writes while it reads").unwrap();
    }
    assert_eq!(next(&mut read).await, "all");
}
