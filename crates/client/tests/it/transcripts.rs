//! Plays the transcripts of the emit protocol with the client.
//!
//! A scripted server plays the server's lines. The test calls the client for the lines of the client and compares
//! the frames.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use switchboard_client::{Client, NO_HANDLER, Payload, RequestError};
use switchboard_testkit::soon;
use switchboard_testkit::transcript::{ANY, Line, Step, matches, parse};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_websockets::{CloseCode, Message, ServerBuilder, WebSocketStream};

/// Not played, because the client cannot send these frames: invalid or binary ones (`b…`, `data`, `numbers`),
/// strings that Rust cannot represent (`surrogates`), names that are not texts (`unknown-event`), an address and invalid frames
/// (`refused`), and ids of another form (`ack-ids`).
const SKIPPED: [&str; 9] = [
    "ack-ids.txt",
    "binary.txt",
    "broken-frames.txt",
    "broken.txt",
    "data.txt",
    "numbers.txt",
    "refused.txt",
    "surrogates.txt",
    "unknown-event.txt",
];

type Request = JoinHandle<Result<Value, RequestError>>;

/// A client and its server.
struct Pair {
    client: Client,
    server: WebSocketStream<TcpStream>,
    /// The events that the client delivers.
    any: mpsc::Receiver<Value>,
    disconnects: mpsc::Receiver<Value>,
    /// Pending requests by their id in the transcript, each with the id that the client assigned.
    pending: BTreeMap<String, (Value, Request)>,
}

#[tokio::test]
async fn the_client_sends_and_delivers_the_frames_of_the_transcripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/transcripts/emit");
    let mut skipped = 0;
    let mut played = 0;
    for file in fs::read_dir(folder).expect("the transcripts exist") {
        let path = file.expect("the folder is readable").path();
        if SKIPPED.iter().any(|name| path.ends_with(name)) {
            skipped += 1;
            continue;
        }
        let text = fs::read_to_string(&path).expect("a transcript is text");
        play(&path.display().to_string(), &text).await;
        played += 1;
    }
    assert_eq!(skipped, SKIPPED.len());
    assert!(played > 0);
}

#[tokio::test]
async fn a_transcript_may_end_with_a_close_frame() {
    play("close", "A> {\"event\":\"/x\",\"data\":1,\"ackId\":1}\nA< [close 1008]").await;
}

async fn play(transcript: &str, text: &str) {
    let lines = parse(transcript, text);
    let mut pairs = BTreeMap::new();
    for (number, Line { at, client: name, step }) in lines.iter().enumerate() {
        if !pairs.contains_key(name) {
            pairs.insert(name, Pair::open().await);
        }
        let pair = pairs.get_mut(name).expect("it was just inserted");
        match step {
            Step::Send(frame) => pair.client_sends(at, parse_json(frame)).await,
            Step::SendBinary(_) => panic!("{at}: the client sends text frames only"),
            Step::Open(_) | Step::Close(_) | Step::Refused(_) => {
                panic!("{at}: not a line of the emit protocol")
            }
            Step::Receive(frame) if frame["type"] == "ack" => pair.server_replies(at, frame.clone()).await,
            Step::Receive(frame) => {
                if let Some(reply) = reply_to(frame, name, &lines[number..]) {
                    pair.set_handler(at, frame, reply);
                }
                pair.server_emits(at, frame).await;
            }
            Step::Closed(code) => {
                pairs.remove(name).expect("it was inserted before").server_closes(at, *code).await
            }
        }
    }
    for pair in pairs.into_values() {
        pair.client_closes(transcript).await;
    }
}

/// Finds the client's reply to a request of the server.
fn reply_to(request: &Value, name: &str, later: &[Line<'_>]) -> Option<Value> {
    let id = request.get("ackId")?;
    later.iter().filter(|line| line.client == name).find_map(|line| {
        let Step::Send(frame) = line.step else { return None };
        let mut frame = parse_json(frame);
        (frame["type"] == "ack" && frame["ackId"] == *id).then(|| frame["data"].take())
    })
}

fn parse_json(frame: &str) -> Value {
    serde_json::from_str(frame).unwrap_or_else(|error| panic!("{frame}: {error}"))
}

fn event_of<'a>(at: &str, frame: &'a Value) -> &'a str {
    frame["event"].as_str().unwrap_or_else(|| panic!("{at}: no event"))
}

/// Registers a listener and returns the channel of its events.
fn listen_to(client: &Client, event: &str) -> mpsc::Receiver<Value> {
    let (sender, receiver) = mpsc::channel(100);
    client.on(event, move |data: Payload| sender.try_send(data.to().unwrap()).unwrap());
    receiver
}

impl Pair {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let server = async {
            let (stream, _) = listener.accept().await.unwrap();
            ServerBuilder::new().accept(stream).await.unwrap().1
        };
        let (client, server) =
            soon("a connection", async { tokio::join!(Client::connect(&url), server) }).await;
        let client = client.unwrap();
        let (any, disconnects) = (listen_to(&client, "@any"), listen_to(&client, "@disconnect"));
        Pair { client, server, any, disconnects, pending: BTreeMap::new() }
    }

    /// Makes the client send a frame and compares it. A reply is sent by the handler that was set before.
    async fn client_sends(&mut self, at: &str, mut frame: Value) {
        let mut request = None;
        if frame["type"] != "ack" {
            let event = event_of(at, &frame).to_owned();
            // A server treats `null` like missing data, and the client always writes the member.
            let members = frame.as_object_mut().expect("a frame is an object");
            let data = members.entry("data").or_insert(Value::Null).clone();
            if let Some(id) = members.get_mut("ackId") {
                request = Some((id.to_string(), self.request(event, data)));
                *id = ANY.into();
            } else {
                self.client.emit(&event, &data).await.unwrap_or_else(|error| panic!("{at}: {error}"));
            }
        }
        let message = soon(at, self.server.next()).await.expect("the client is connected").unwrap();
        let sent = parse_json(message.as_text().expect("the client sends text"));
        assert!(matches(&frame, &sent), "{at}\nsent {sent}");
        if let Some((id, request)) = request {
            let own = sent["ackId"].clone();
            assert!(self.pending.values().all(|(other, _)| *other != own), "{at}: {own} is in use");
            self.pending.insert(id, (own, request));
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a test's own task")]
    fn request(&self, event: String, data: Value) -> Request {
        let client = self.client.clone();
        tokio::spawn(async move { client.request(&event, &data).await })
    }

    /// Sends a reply of the server and checks the result of the client's request.
    async fn server_replies(&mut self, at: &str, mut frame: Value) {
        let pending = self.pending.remove(&frame["ackId"].to_string());
        let (own, request) = pending.unwrap_or_else(|| panic!("{at}: no such request"));
        frame["ackId"] = own;
        self.send(&frame).await;
        let reply = soon(at, request).await.expect("a request does not panic");
        match (&frame["data"]["error"], &frame["data"]["code"]) {
            (Value::String(error), Value::String(stable)) => assert!(
                matches!(&reply, Err(RequestError::Refused { code, message }) if code == stable && message == error),
                "{at}\nreceived {reply:?}"
            ),
            (Value::String(error), Value::Null) if error.starts_with("No handler for: ") => assert!(
                matches!(&reply, Err(RequestError::Refused { code, message }) if code == NO_HANDLER && message == error),
                "{at}\nreceived {reply:?}"
            ),
            _ => assert_eq!(reply.unwrap_or_else(|error| panic!("{at}: {error}")), frame["data"], "{at}"),
        }
    }

    fn set_handler(&self, at: &str, request: &Value, reply: Value) {
        self.client.handle(event_of(at, request), move |_| {
            let reply = reply.clone();
            async { Some(reply) }
        });
    }

    /// Sends an event or a request of the server and checks that its listeners are called with its data.
    async fn server_emits(&mut self, at: &str, frame: &Value) {
        let event = event_of(at, frame);
        let mut received = listen_to(&self.client, event);
        self.send(frame).await;
        assert_eq!(soon(at, received.recv()).await.as_ref(), Some(&frame["data"]), "{at}");
        self.client.off(event);
        let any = json!({ "event": event, "data": frame["data"] });
        assert_eq!(self.any.try_recv().as_ref(), Ok(&any), "{at}");
    }

    /// Sends a frame exactly as in the transcript, including a literal `<any>`.
    async fn send(&mut self, frame: &Value) {
        self.server.send(Message::text(frame.to_string())).await.expect("the client is connected");
    }

    /// Closes from the server and checks that the client answers and reports the close.
    async fn server_closes(mut self, at: &str, code: u16) {
        let close = Message::close(Some(CloseCode::try_from(code).expect("a code of RFC 6455")), "");
        self.server.send(close).await.expect("the client is connected");
        let answer = soon(at, self.server.next()).await.expect("a close frame").unwrap();
        assert_eq!(answer.as_close().map(|(code, _)| code.into()), Some(code), "{at}");
        self.check_end(at, code).await;
    }

    /// Closes from the client and checks that it sends no other frame.
    async fn client_closes(mut self, transcript: &str) {
        let read = async {
            let last = self.server.next().await;
            // This read sends the answer to the close frame.
            assert!(self.server.next().await.is_none());
            last.expect("a close frame").unwrap()
        };
        let ((), last) = soon(transcript, async { tokio::join!(self.client.close(), read) }).await;
        assert!(last.is_close(), "{transcript}\nsent {last:?}");
        self.check_end(transcript, 1000).await;
    }

    /// Checks that no further event was delivered and that pending requests fail.
    async fn check_end(mut self, at: &str, code: u16) {
        assert_eq!(
            soon(at, self.disconnects.recv()).await,
            Some(json!({ "code": code, "reason": "" })),
            "{at}"
        );
        assert!(self.any.try_recv().is_err(), "{at}");
        for (id, (_, request)) in self.pending {
            let reply = soon(at, request).await.expect("a request does not panic");
            assert!(matches!(reply, Err(RequestError::Disconnected)), "{at}: {id} received {reply:?}");
        }
    }
}
