//! Runs the chat backends of the guide for handlers over HTTP behind the real binary.

#[path = "support/programs.rs"]
mod programs;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::json;
use switchboard_testkit::Peer;

use programs::{Program, binary};

const GUIDE: &str = "handlers-over-http.md";

/// The binary in front of a backend. Dropping it ends its process.
struct Server {
    process: Child,
    url: String,
}

impl Server {
    fn start(backend: &Program) -> Self {
        let port = backend.port;
        let handlers = format!(
            r#"handlers.backends.chat={{url="http://127.0.0.1:{port}/", allow_private=true, events=["@connect", "/chat/*"], timeout_ms=30000}}"#
        );
        let mut command = Command::new(binary());
        let command =
            command.args(["serve", "--listen", "127.0.0.1:0", "--set", &handlers]).stdout(Stdio::piped());
        let mut process = command.spawn().expect("the binary runs");
        let mut banner = String::new();
        let mut lines = BufReader::new(process.stdout.take().expect("it is piped"));
        while !banner.contains("health") {
            assert!(lines.read_line(&mut banner).expect("a banner") > 0, "it ended: {banner}");
        }
        let address =
            banner.split("ws://").nth(1).and_then(|rest| rest.split('/').next()).expect("an address");
        Server { url: format!("ws://{address}/"), process }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn chats(backend: Program) {
    let server = Server::start(&backend);
    let mut ann = Peer::connect(&format!("{}?name=ann", server.url)).await;
    let mut bob = Peer::connect(&format!("{}?name=bob", server.url)).await;
    assert_eq!(bob.request("/chat/recent", json!({})).await, json!([]));
    ann.emit("/chat/say", json!({ "text": "hello" })).await;
    let message = json!({ "from": "ann", "text": "hello" });
    assert_eq!(bob.next().await["data"], message);
    assert_eq!(ann.next().await["data"], message);
    assert_eq!(bob.request("/chat/recent", json!({})).await, json!([message]));
    assert_eq!(bob.request("/chat/dance", json!({})).await["code"], "unknown");
    let mut eve = Peer::connect(&format!("{}?name=eve", server.url)).await;
    assert_eq!(eve.closed().await, (1008, "this name may not connect".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chat_backend_in_python_works() {
    chats(Program::start(GUIDE, "python3", "backend.py", "python", &[]).expect("python3 is installed")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chat_backend_in_node_works() {
    match Program::start(GUIDE, "node", "backend.mjs", "js", &[]) {
        Some(backend) => chats(backend).await,
        None => eprintln!("node is not installed"),
    }
}
