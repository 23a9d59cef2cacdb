//! The commands with the names of the calls of the HTTP API.

use std::fs;
use std::thread;

use serde_json::{Value, json};
use switchboard_testkit::{Peer, Scratch};

use crate::backend::{KEY, api, connect_seven, next_message, shell};
use crate::clients::request;

/// Runs a command with the key of the server. Returns its status and output.
fn run(url: &str, name: &str, args: &[&str]) -> (Option<i32>, String) {
    shell(name, &[args, &["--url", url]].concat(), Some(KEY))
}

fn lines(output: (Option<i32>, String)) -> Vec<String> {
    assert_eq!(output.0, Some(0), "{}", output.1);
    output.1.lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_printed_as_lines_of_text_or_json() {
    let (server, address) = api(&[]);
    let url = format!("http://{address}");
    let mut seven = connect_seven(&server).await;
    for room in ["chat-1", "chat-2", "x"] {
        request(&mut seven, "/join", json!({ "room": room })).await;
    }
    assert_eq!(lines(run(&url, "rooms", &["chat-"])), ["ROOM\tSOCKETS", "#chat-1\t1", "#chat-2\t1"]);
    assert_eq!(lines(run(&url, "rooms", &["x", "--json"])), [r##"{"room":"#x","sockets":1}"##]);
    assert_eq!(lines(run(&url, "users", &[])), ["7"]);
    assert_eq!(lines(run(&url, "users", &["--json"])), ["\"7\""]);
    let sockets = lines(run(&url, "sockets", &["--user", "7"]));
    let (id, node) = sockets[1].split_once('\t').expect("two columns");
    assert_eq!((sockets.len(), &id[..8]), (2, node));
    assert_eq!(lines(run(&url, "members", &["#chat-1"])), sockets);
    assert!(lines(run(&url, "socket", &[id])).contains(&"connected: true".to_owned()));
    let room: Value =
        serde_json::from_str(&lines(run(&url, "room", &["chat-1", "--json"]))[0]).expect("JSON");
    assert_eq!((&room["room"], &room["sockets"]), (&json!("#chat-1"), &json!(1)));
    assert_eq!(lines(run(&url, "rooms", &["--project", "other"])), [""; 0]);
    let nodes = lines(run(&url, "nodes", &[]));
    assert!(nodes[1].starts_with(&format!("{node}\ttrue\t")), "{nodes:?}");
    assert!(lines(run(&url, "user", &["7"])).contains(&"online: true".to_owned()));
    assert!(lines(run(&url, "info", &[])).contains(&"users: 1".to_owned()));
    assert!(lines(run(&url, "keys", &[]))[1].starts_with("api.keys[0]\tread,send,manage\t"));
    assert!(lines(run(&url, "info", &[])).iter().all(|line| !line.starts_with("as_of_ms")));
    assert_eq!(lines(run(&url, "shards", &[])), [""; 0]);
    let reloaded = lines(run(&url, "reload", &[]));
    assert!(reloaded[0].starts_with("applied:") && reloaded[1].starts_with("needs_restart:"), "{reloaded:?}");
    let sent = lines(run(&url, "send", &["SAID", "1", "--to-user", "7", "--trace"]));
    let trace = sent.iter().find_map(|line| line.strip_prefix("trace: ")).expect("an id");
    assert!(lines(run(&url, "traces", &[])).iter().any(|line| line.contains(trace)), "{trace}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_send_and_change_memberships() {
    let scratch = Scratch::new();
    let path = format!("inbox.path={}", scratch.file("inbox.redb"));
    let (server, address) = api(&[&path, "inbox.enabled=true"]);
    let url = format!("http://{address}");
    let mut seven = connect_seven(&server).await;
    assert_eq!(lines(run(&url, "join", &["hall", "--to-user", "7"])), ["sockets_here: 1"]);
    assert_eq!(
        lines(run(&url, "send", &["SAID", "[1.50]", "--to", "#hall", "--json"])),
        [r#"{"sockets_here":1,"behind_here":0}"#]
    );
    assert_eq!(lines(run(&url, "leave", &["#hall", "--everyone"])), ["sockets_here: 1"]);
    assert_eq!(lines(run(&url, "tag", &["vip", "--to-user", "7"])), ["sockets_here: 1"]);
    assert_eq!(
        lines(run(&url, "send", &["SAID", "a text", "--to", "*vip", "--volatile"]))[0],
        "sockets_here: 1"
    );
    assert_eq!(lines(run(&url, "untag", &["vip", "--to", "*vip"])), ["sockets_here: 1"]);
    assert_eq!(
        (next_message(&mut seven).await, next_message(&mut seven).await),
        (json!([1.5]), json!("a text"))
    );

    assert_eq!(lines(run(&url, "send", &["LATER", "2", "--to-user", "8", "--inbox"]))[0], "inboxes: 1");
    let stored = lines(run(&url, "inbox", &["8"]));
    let columns: Vec<&str> = stored[1].split('\t').collect();
    assert_eq!((stored.len(), &columns[1..3]), (2, &["LATER", "2"][..]));
    assert_eq!(lines(run(&url, "inbox", &["8", "--clear"])), ["removed"]);
    assert_eq!(lines(run(&url, "inbox", &["8"])), [""; 0]);

    let batch = scratch.file("batch.json");
    let calls = json!({ "calls": [
        { "call": "send", "body": { "event": "SAID", "data": 3, "to": { "users": ["7"] } } },
        { "call": "room", "body": { "room": "" } },
    ] });
    fs::write(&batch, calls.to_string()).expect("the folder is the test's own");
    let (status, text) = run(&url, "batch", &[&batch]);
    assert!(
        status == Some(1) && text.starts_with("STATUS\tBODY\n200\t") && text.contains("\n400\t"),
        "{text}"
    );
    assert!(text.contains("error: 1 of 2 calls failed"), "{text}");
    assert_eq!(next_message(&mut seven).await, json!(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_are_printed_as_they_arrive() {
    let (server, address) = api(&[]);
    let url = format!("http://{address}");
    let mut peer = Peer::connect(&server.url()).await;
    let replies =
        thread::spawn(move || run(&url, "request", &["/q", "--everyone", "--timeout", "25s", "--json"]));
    let question = loop {
        let frame = peer.next().await;
        if frame["event"] == "/q" {
            break frame;
        }
    };
    peer.send(&json!({ "type": "ack", "ackId": question["ackId"], "data": "yes" })).await;
    let replies = lines(replies.join().expect("no panic"));
    assert!(replies.len() == 1 && replies[0].ends_with(",\"reply\":\"yes\"}"), "{replies:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_command_prints_the_reason() {
    let (_server, address) =
        api(&["api.named_keys.shop.keys=fedcba9876543210", "api.named_keys.shop.scopes=[\"read\"]"]);
    let url = format!("http://{address}");
    let reading = Some("fedcba9876543210");
    for (name, args, key, status, expected) in [
        ("rooms", &[][..], None, 2, "--url needs a key; set DISPATCH_KEY"),
        ("rooms", &[], Some("wrong"), 1, "answered 401"),
        ("send", &["SAID", "--everyone"], reading, 1, "answered 403: this key does not have the scope send"),
        ("send", &["SAID"], Some(KEY), 2, "--to-user"),
        ("send", &["SAID", "--everyone", "--inbox"], Some(KEY), 2, "answered 400: inbox: "),
        ("room", &["*tag"], Some(KEY), 2, "answered 400: room: "),
        ("inbox", &["7"], Some(KEY), 2, "the inbox of this server is off"),
        ("sockets", &["--user", "7", "--room", "x"], Some(KEY), 2, "cannot be used with"),
        ("batch", &["/no/such/file"], Some(KEY), 2, "cannot read /no/such/file"),
        ("request", &["/q", "--everyone", "--timeout", "26s"], Some(KEY), 2, "answered 400: timeout_ms: "),
    ] {
        let (code, text) = shell(name, &[args, &["--url", &url]].concat(), key);
        assert!(code == Some(status) && text.contains(expected), "{name} {args:?}: {code:?} {text}");
    }
    let nowhere = shell("info", &["--url", "http://127.0.0.1:1"], Some(KEY));
    assert!(
        nowhere.0 == Some(1) && nowhere.1.starts_with("error: cannot reach http://127.0.0.1:1"),
        "{nowhere:?}"
    );
}
