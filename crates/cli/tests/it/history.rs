//! Reading the history of rooms: over the HTTP API, and with `switchboard history`.

use serde_json::json;

use crate::backend::{Answer, KEY, api, call, send, shell};
use crate::support::Server;

/// A server with a room that has had four messages and keeps three.
fn with_messages() -> (Server, String) {
    let (server, address) = api(&["history.rooms.lobby.messages_max=3"]);
    for n in 1..=4 {
        let body = json!({ "type": "SAID", "data": [n], "to": { "rooms": ["lobby"] } });
        assert_eq!(call(&address, "dispatch", &body).status, 200);
    }
    (server, address)
}

fn read(address: &str, path: &str) -> Answer {
    let headers = [("Authorization", &*format!("Bearer {KEY}"))];
    send(address, "GET", &format!("/api/v1/rooms/{path}"), &headers, "").expect("an answer")
}

fn offsets(answer: &Answer) -> Vec<u64> {
    let messages = answer.body["messages"].as_array().unwrap_or_else(|| panic!("{}", answer.body));
    messages.iter().map(|message| message["offset"].as_u64().expect("a number")).collect()
}

#[tokio::test]
async fn a_backend_reads_the_history_of_a_room() {
    let (_server, address) = with_messages();
    let all = read(&address, "lobby/history");
    assert_eq!((all.status, &all.body["top"], &all.body["first"]), (200, &json!(4), &json!(2)));
    assert_eq!(offsets(&all), [2, 3, 4]);
    let last = &all.body["messages"][2];
    assert_eq!((&last["event"], &last["data"], last.get("sender")), (&json!("SAID"), &json!([4]), None));
    assert!(last["time_ms"].as_u64().is_some_and(|time| time > 0));
    assert_eq!(all.body["epoch"].as_str().map(str::len), Some(16));
    assert_eq!(offsets(&read(&address, "%23lobby/history?limit=1")), [4]);
    assert_eq!(offsets(&read(&address, "lobby/history?before=4&limit=1")), [3]);
    assert_eq!(offsets(&read(&address, "lobby/history?after=2")), [3, 4]);
    assert_eq!(read(&address, "lobby/history?project=other").body["top"], 0);
}

#[tokio::test]
async fn a_wrong_request_of_a_history_is_refused_with_the_reason() {
    let (_server, address) = with_messages();
    for (path, reason) in [
        ("hall/history", "room: #hall has no history: no pattern for rooms with a history matches it"),
        ("lobby/history?limit=1001", "limit: 1001, over the limit of 1000"),
        ("lobby/history?limit=-1", "limit: "),
        ("lobby/history?after=x", "after: "),
        ("lobby/history?after=1&before=2", "before: cannot be used together with `after`"),
        ("lobby/history?max=1", "max: unknown field"),
    ] {
        let Answer { status, body, .. } = read(&address, path);
        assert_eq!((status, &body["code"]), (400, &json!("invalid")), "{path}: {body}");
        assert!(body["detail"].as_str().is_some_and(|detail| detail.starts_with(reason)), "{path}: {body}");
    }
}

#[tokio::test]
async fn the_command_history_prints_a_line_for_each_message() {
    let (_server, address) = with_messages();
    let url = format!("http://{address}");
    let run = |args: &[&str]| shell("history", &[&["--url", &url], args].concat(), Some(KEY));
    assert_eq!(run(&["#lobby"]), (Some(0), "2\tSAID\t[2]\n3\tSAID\t[3]\n4\tSAID\t[4]\n".to_owned()));
    assert_eq!(run(&["lobby", "--after", "2", "--limit", "1"]), (Some(0), "3\tSAID\t[3]\n".to_owned()));
    let (code, text) = run(&["hall"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("#hall has no history"), "{text}");
    let (code, text) = shell("history", &["--url", &url, "lobby"], None);
    assert_eq!(code, Some(2), "{text}");
}
