//! The tests that the guide on testing shows; `snippets.rs` checks that they are the same.
#![expect(clippy::disallowed_methods, reason = "a program of a user has other rules")]

use serde_json::{Value, json};
use switchboard::{App, Data, Reply, ReplyError, Socket, serve};
use switchboard_client::{Client, Payload, RequestError};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// The app under test; that of your program, which its `main` serves too.
fn app() -> App {
    App::new().on("/join", join).on("/say", say)
}

async fn join(socket: Socket, Data(room): Data<String>) -> Result<Reply<String>, ReplyError> {
    socket.join(&room)?;
    Ok(Reply(room))
}

async fn say(socket: Socket, Data(text): Data<String>) -> Result<Reply<usize>, ReplyError> {
    if !socket.is_in("lobby") {
        return Err(ReplyError::new("not_in_room", "join the room first"));
    }
    Ok(Reply(socket.to("lobby").emit("said", &text)?))
}

/// Serves the app on a free port and returns its address. The server ends with the runtime of the test.
async fn start(app: App) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("ws://{}", listener.local_addr().unwrap());
    tokio::spawn(async { serve(listener, app).await });
    address
}

/// The events of a name that the client receives from now on, in order.
fn received(client: &Client, event: &str) -> mpsc::UnboundedReceiver<Payload> {
    let (sender, receiver) = mpsc::unbounded_channel();
    client.on(event, move |data| drop(sender.send(data)));
    receiver
}

#[tokio::test]
async fn a_message_reaches_the_other_members_and_not_the_sender() {
    let address = start(app()).await;
    let (ann, bob) = (Client::connect(&address).await.unwrap(), Client::connect(&address).await.unwrap());
    let (mut by_ann, mut by_bob) = (received(&ann, "said"), received(&bob, "said"));
    for client in [&ann, &bob] {
        let _: Value = client.request("/join", &json!("lobby")).await.unwrap();
    }
    let receivers: usize = ann.request("/say", &json!("hi")).await.unwrap();
    assert_eq!(receivers, 1);
    assert_eq!(by_bob.recv().await.unwrap().to_text().as_deref(), Some("hi"));
    // Events arrive in order: whatever `/say` has sent to Ann precedes the reply, so nothing has come.
    assert!(by_ann.try_recv().is_err());
}

#[tokio::test]
async fn a_message_of_a_client_that_has_not_joined_is_refused_with_not_in_room() {
    let client = Client::connect(&start(app()).await).await.unwrap();
    match client.request::<Value>("/say", &json!("hi")).await {
        Err(RequestError::Refused { code, .. }) => assert_eq!(code, "not_in_room"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_room_is_empty_after_its_member_has_left() {
    let (ended, mut ends) = mpsc::unbounded_channel();
    let app = app().on("@disconnect", move || {
        let ended = ended.clone();
        async move {
            let _ = ended.send(());
        }
    });
    let client = Client::connect(&start(app.clone()).await).await.unwrap();
    let _: Value = client.request("/join", &json!("lobby")).await.unwrap();
    client.close().await;
    ends.recv().await; // the socket has left its rooms
    assert_eq!(app.to("lobby").emit("said", "anybody?").unwrap(), 0);
}
