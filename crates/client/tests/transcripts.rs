//! The client says and hears what the transcripts say.
//!
//! A scripted server plays the server's side line by line; the client is told to do what its lines say.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use switchboard_client::{Client, Payload, RequestError};
use switchboard_testkit::soon;
use switchboard_testkit::transcript::{ANY, Line, Step, matches, parse};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_websockets::{CloseCode, Message, ServerBuilder, WebSocketStream};

/// Not played: the client sends no broken frames or binary messages (`b…`, `data`, `numbers`), no
/// names that are no texts (`unknown-event`), and no ids but its own (`ack-ids`).
const SKIPPED: [&str; 7] = [
    "ack-ids.txt",
    "binary.txt",
    "broken-frames.txt",
    "broken.txt",
    "data.txt",
    "numbers.txt",
    "unknown-event.txt",
];

type Request = JoinHandle<Result<Value, RequestError>>;

/// A client and its server.
struct Pair {
    client: Client,
    server: WebSocketStream<TcpStream>,
    /// Every event that the client hands out.
    any: mpsc::Receiver<Value>,
    gone: mpsc::Receiver<Value>,
    /// Requests by their ids in the transcript, each with the id that the client gave it.
    waiting: BTreeMap<String, (Value, Request)>,
}

#[tokio::test]
async fn the_client_says_and_hears_what_the_transcripts_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/transcripts/emit");
    let mut skipped = 0;
    let mut played = 0;
    for file in fs::read_dir(folder).expect("the transcripts are there") {
        let path = file.expect("a readable folder").path();
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

async fn play(name: &str, text: &str) {
    let lines = parse(name, text);
    let mut pairs = BTreeMap::new();
    for (number, Line { at, who, step }) in lines.iter().enumerate() {
        if !pairs.contains_key(who) {
            pairs.insert(who, Pair::open().await);
        }
        let pair = pairs.get_mut(who).expect("it was put there");
        match step {
            Step::Send(frame) => pair.says(at, read(frame)).await,
            Step::SendBinary(_) => panic!("{at}: this client sends text"),
            Step::Open(_) | Step::Close(_) | Step::Refused(_) => {
                panic!("{at}: this client is of another protocol")
            }
            Step::Hear(frame) if frame["type"] == "ack" => pair.hears_reply(at, frame.clone()).await,
            Step::Hear(frame) => {
                if let Some(answer) = answer_to(frame, who, &lines[number..]) {
                    pair.will_answer(at, frame, answer);
                }
                pair.hears_event(at, frame).await;
            }
            Step::Closed(code) => pairs.remove(who).expect("it is there").hears_close(at, *code).await,
        }
    }
    for pair in pairs.into_values() {
        pair.closes(name).await;
    }
}

/// What the client will answer to a request of the server.
fn answer_to(request: &Value, who: &str, later: &[Line<'_>]) -> Option<Value> {
    let id = request.get("ackId")?;
    later.iter().filter(|line| line.who == who).find_map(|line| {
        let Step::Send(frame) = line.step else { return None };
        let mut frame = read(frame);
        (frame["type"] == "ack" && frame["ackId"] == *id).then(|| frame["data"].take())
    })
}

fn read(frame: &str) -> Value {
    serde_json::from_str(frame).unwrap_or_else(|error| panic!("{frame}: {error}"))
}

fn event_of<'a>(at: &str, frame: &'a Value) -> &'a str {
    frame["event"].as_str().unwrap_or_else(|| panic!("{at}: no event"))
}

/// Where a listener puts what it hears.
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
        let (any, gone) = (listen_to(&client, "@any"), listen_to(&client, "@disconnect"));
        Pair { client, server, any, gone, waiting: BTreeMap::new() }
    }

    /// The client is told to send this frame, unless it is the answer it was told of before, and
    /// sends it.
    async fn says(&mut self, at: &str, mut frame: Value) {
        let mut request = None;
        if frame["type"] != "ack" {
            let event = event_of(at, &frame).to_owned();
            // To a server `null` is the same as no data, and the client always writes the member.
            let members = frame.as_object_mut().expect("it has an event");
            let data = members.entry("data").or_insert(Value::Null).clone();
            if let Some(id) = members.get_mut("ackId") {
                request = Some((id.to_string(), self.request(event, data)));
                *id = ANY.into();
            } else {
                self.client.emit(&event, &data).await.unwrap_or_else(|error| panic!("{at}: {error}"));
            }
        }
        let message = soon(at, self.server.next()).await.expect("the client is there").unwrap();
        let said = read(message.as_text().expect("it sends text"));
        assert!(matches(&frame, &said), "{at}\nsaid {said}");
        if let Some((id, request)) = request {
            let own = said["ackId"].clone();
            assert!(self.waiting.values().all(|(other, _)| *other != own), "{at}: {own} is in use");
            self.waiting.insert(id, (own, request));
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a test's own task")]
    fn request(&self, event: String, data: Value) -> Request {
        let client = self.client.clone();
        tokio::spawn(async move { client.request(&event, &data).await })
    }

    /// The server replies, and who asked gets just that.
    async fn hears_reply(&mut self, at: &str, mut frame: Value) {
        let waiting = self.waiting.remove(&frame["ackId"].to_string());
        let (own, request) = waiting.unwrap_or_else(|| panic!("{at}: nobody asked"));
        frame["ackId"] = own;
        self.send(&frame).await;
        let reply = soon(at, request).await.expect("a request does not panic");
        match (&frame["data"]["error"], &frame["data"]["code"]) {
            (Value::String(error), Value::String(stable)) => assert!(
                matches!(&reply, Err(RequestError::Refused { code, message }) if code == stable && message == error),
                "{at}\nheard {reply:?}"
            ),
            _ => assert_eq!(reply.unwrap_or_else(|error| panic!("{at}: {error}")), frame["data"], "{at}"),
        }
    }

    fn will_answer(&self, at: &str, request: &Value, answer: Value) {
        self.client.handle(event_of(at, request), move |_| {
            let answer = answer.clone();
            async { Some(answer) }
        });
    }

    /// The server sends an event, or asks, and the listeners of that event hear just that.
    async fn hears_event(&mut self, at: &str, frame: &Value) {
        let event = event_of(at, frame);
        let mut heard = listen_to(&self.client, event);
        self.send(frame).await;
        assert_eq!(soon(at, heard.recv()).await.as_ref(), Some(&frame["data"]), "{at}");
        self.client.off(event);
        let any = json!({ "event": event, "data": frame["data"] });
        assert_eq!(self.any.try_recv().as_ref(), Ok(&any), "{at}");
    }

    /// A frame as the transcript has it; `<any>` stands for itself.
    async fn send(&mut self, frame: &Value) {
        self.server.send(Message::text(frame.to_string())).await.expect("the client is there");
    }

    /// The server closes, and the client says so and answers.
    async fn hears_close(mut self, at: &str, code: u16) {
        let close = Message::close(Some(CloseCode::try_from(code).expect("a code of RFC 6455")), "");
        self.server.send(close).await.expect("the client is there");
        let answer = soon(at, self.server.next()).await.expect("an answer").unwrap();
        assert_eq!(answer.as_close().map(|(code, _)| code.into()), Some(code), "{at}");
        self.ends(at, code).await;
    }

    /// The client closes, and has nothing else to say.
    async fn closes(mut self, name: &str) {
        let read = async {
            let last = self.server.next().await;
            // Reading on is what sends the answer.
            assert!(self.server.next().await.is_none());
            last.expect("a close frame").unwrap()
        };
        let ((), last) = soon(name, async { tokio::join!(self.client.close(), read) }).await;
        assert!(last.is_close(), "{name}\nsaid {last:?}");
        self.ends(name, 1000).await;
    }

    /// Nothing was handed out that no line has, and who still waits for a reply gets none.
    async fn ends(mut self, at: &str, code: u16) {
        assert_eq!(soon(at, self.gone.recv()).await, Some(json!({ "code": code, "reason": "" })), "{at}");
        assert!(self.any.try_recv().is_err(), "{at}");
        for (id, (_, request)) in self.waiting {
            let reply = soon(at, request).await.expect("a request does not panic");
            assert!(matches!(reply, Err(RequestError::Disconnected)), "{at}: {id} heard {reply:?}");
        }
    }
}
