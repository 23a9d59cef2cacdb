//! Text that clients and servers choose: in the log, at a terminal, and in metrics.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use switchboard_testkit::raw::frame;

use crate::support::{JsonServer, SWITCHBOARD, Server, get, read_to, run, upgraded};

/// A line break, another log line, a carriage return, an escape sequence, NUL, BEL, DEL, a C1 character and a
/// change of the direction of text.
const EVIL: &str = "evil%0A2026-01-01T00:00:00Z%20ERROR%20fake%0D%1B[31m%00%07%7F%C2%9B%E2%80%AE";

fn has_raw_control(text: &str) -> bool {
    text.chars().any(|char| char != '\n' && !switchboard_log::is_printable(char))
}

const ONE_CLIENT: [&str; 5] =
    ["serve", "--set", "projects.every.connections_max=1", "--set", "stop.window_ms=0"];

/// Has a server refuse clients of a project, which has room for one. Returns the number of lines that were suppressed.
fn refuse_clients(address: &str, number: usize) -> usize {
    let path = format!("/?projectId={EVIL}{}", "x".repeat(150));
    let mut first = upgraded(address, &path);
    read_to(&mut first, b"CONNECTED");
    for _ in 0..number {
        let mut refused = upgraded(address, &path);
        refused.read_to_end(&mut Vec::new()).expect("the server closes the connection");
    }
    let metrics = get(address, "/metrics");
    let (_, suppressed) = metrics.split_once("\nswitchboard_log_lines_suppressed_total ").expect("a metric");
    suppressed.lines().next().and_then(|count| count.parse().ok()).expect("a number")
}

#[test]
fn names_of_clients_stay_within_their_log_line_and_lines_of_a_kind_are_limited() {
    let server = Server::start(&ONE_CLIENT);
    let suppressed = refuse_clients(&server.address, 50);
    server.signal("-TERM");
    let (_, log) = server.ended();
    // In front of the message are colours.
    let fields = |line: &str| line.split_once("no seat").map(|(_, fields)| fields.to_owned());
    let refusals: Vec<String> = log.lines().filter_map(fields).collect();
    assert!(!refusals.iter().any(|fields| has_raw_control(fields)), "{log:?}");
    assert!(refusals.len() >= 10 && suppressed > 0, "{log}");
    assert_eq!(refusals.len() + suppressed, 50, "{log}");
    assert!(refusals[0].contains("project=\"evil<U+000A>2026-01-01T00:00:00Z ERROR fake<U+000D>"), "{log}");
    assert!(!log.lines().any(|line| line.starts_with("2026-01-01")), "{log}");
}

#[test]
fn names_of_clients_are_printable_in_a_json_log() {
    let server = JsonServer::start(&ONE_CLIENT);
    refuse_clients(&server.address, 2);
    server.signal("-TERM");
    let (_, _, log) = server.ended();
    assert!(!has_raw_control(&log), "{log:?}");
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("each line is JSON");
        if line["fields"]["message"].as_str().is_some_and(|message| message.starts_with("no seat")) {
            let project = line["fields"]["project"].as_str().expect("a text");
            assert!(project.starts_with("evil<U+000A>2026"), "{project}");
        }
    }
    assert_eq!(log.matches("no seat").count(), 2, "{log}");
}

#[test]
fn a_panic_of_a_handler_is_one_line_of_the_log() {
    let server = Server::start(&["demo", "--set", "stop.window_ms=0"]);
    assert!(run(&["emit", &server.url(), "/throw"]).status.success());
    // The reply shows that the event before it was handled.
    assert!(run(&["emit", &server.url(), "/ping", "--request"]).status.success());
    server.signal("-TERM");
    let (_, log) = server.ended();
    assert!(log.contains("panic=\"thrown on purpose\""), "{log}");
    assert!(!log.contains("thread '"), "the standard library prints nothing: {log}");
}

/// A name with control characters, as JSON.
const ESCAPES: &str = "a\u{9b}2J\u{202e}\u{7f}";

#[test]
fn events_are_printed_as_they_are_in_a_file_and_without_control_characters_at_a_terminal() {
    let server = Server::start(&["serve"]);
    let url = server.url();
    let tail = format!("{SWITCHBOARD} tail {url} --room lobby");
    let at_terminal = &["script", "--quiet", "--flush", "--command", &tail, "/dev/null"][..];
    let in_file = &[SWITCHBOARD, "tail", &url, "--room", "lobby"][..];
    for (command, is_terminal) in [(at_terminal, true), (in_file, false)] {
        let mut child = Command::new(command[0])
            .args(&command[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it runs");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let receiving = std::thread::spawn(move || lines.next().expect("a line").expect("text"));
        // Events before `tail` has joined the room are not delivered.
        while !receiving.is_finished() {
            let data = format!("{{\"room\":\"lobby\",\"text\":\n\"{ESCAPES}\"}}");
            assert!(run(&["emit", &server.url(), "/message", &data]).status.success());
        }
        let line = receiving.join().expect("it was received");
        assert_eq!(line.trim_end_matches('\r').contains(ESCAPES), !is_terminal, "{line:?}");
        assert_eq!(line.contains(r"a\u009b2J\u202e\u007f"), is_terminal, "{line:?}");
        child.kill().expect("it runs");
        child.wait().expect("it ends");
    }
}

fn close(mut client: TcpStream, code: u16) {
    client.write_all(&frame(0x88, &code.to_be_bytes())).expect("the connection is open");
    client.read_to_end(&mut Vec::new()).expect("the server closes it");
}

#[test]
fn private_close_codes_of_clients_share_their_metrics() {
    let server = Server::start(&["serve"]);
    for code in [1000, 3000, 3999, 4000, 4321, 4999] {
        close(upgraded(&server.address, "/"), code);
    }
    let metrics = server.get("/metrics");
    for (code, count) in [("1000", 1), ("3xxx", 2), ("4xxx", 3)] {
        let line =
            format!("switchboard_connections_closed_total{{protocol=\"emit\",code=\"{code}\"}} {count}\n");
        assert!(metrics.contains(&line), "{metrics}");
    }
}
