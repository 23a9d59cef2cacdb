//! Parses the transcripts of `spec/transcripts` and plays them against a server.
//!
//! The format is specified in `spec/transcripts/README.md`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{Peer, read_json};

/// Matches any value in an expected frame.
pub const ANY: &str = "<any>";

/// Matches a whole number of at least 0.
const MS: &str = "<ms>";

/// Matches milliseconds since 1970, between 2001 and 2286.
const TIME: &str = "<time>";

/// A transcript line that describes a frame.
#[derive(Debug)]
pub struct Line<'a> {
    /// Its file, number and text, for error messages.
    pub at: String,
    /// The client.
    pub client: &'a str,
    /// The action.
    pub step: Step<'a>,
}

/// The action of a line.
#[derive(Debug)]
pub enum Step<'a> {
    /// `A> …`: the client sends this as a text message, byte for byte.
    Send(&'a str),
    /// `A> [bin] …`: the client sends this as a binary message.
    SendBinary(&'a str),
    /// `A> [open …]`: the client connects to this path and query.
    Open(&'a str),
    /// `A> [close …]`: the client sends a close frame with this code.
    Close(u16),
    /// `A< …`: the client receives this message next.
    Receive(Value),
    /// `A< [close …]`: the client receives a close frame with this code next.
    Closed(u16),
    /// `A< [refused …]`: the handshake is refused with this HTTP status.
    Refused(u16),
}

/// Parses a transcript.
///
/// # Panics
///
/// At the first invalid line.
pub fn parse<'a>(name: &str, text: &'a str) -> Vec<Line<'a>> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines.map(|(number, line)| parse_line(format!("{name}:{}: {line}", number + 1), line)).collect()
}

fn parse_line(at: String, line: &str) -> Line<'_> {
    let (client, rest) = line.split_at(1);
    let (direction, frame) =
        rest.split_once(' ').unwrap_or_else(|| panic!("{at}: not `A> frame` or `A< frame`"));
    let inside = |start| frame.strip_prefix(start).and_then(|rest: &str| rest.strip_suffix(']'));
    let number = |text: &str| text.parse().unwrap_or_else(|error| panic!("{at}: {error}"));
    let step = match (direction, inside("[open "), inside("[close "), inside("[refused ")) {
        (">", Some(path), ..) => Step::Open(path),
        (">", _, Some(code), _) => Step::Close(number(code)),
        ("<", _, Some(code), _) => Step::Closed(number(code)),
        ("<", _, _, Some(status)) => Step::Refused(number(status)),
        (">", ..) => match frame.strip_prefix("[bin] ") {
            Some(binary) => Step::SendBinary(binary),
            None => Step::Send(frame),
        },
        ("<", ..) => Step::Receive(read_json(frame).unwrap_or_else(|error| panic!("{at}: {error}"))),
        _ => panic!("{at}: not `A> frame` or `A< frame`"),
    };
    Line { at, client, step }
}

/// The outcome of a client's handshake; the error is the refusal.
type Handshake = Result<Peer, String>;

/// Plays one transcript against a server, such as `ws://127.0.0.1:3000`.
///
/// # Panics
///
/// At the first line that does not match.
pub async fn play(server: &str, name: &str, text: &str) {
    let mut peers = BTreeMap::new();
    let mut names = Names::default();
    for Line { at, client, step } in parse(name, text) {
        if let Step::Open(path) = step {
            let before = peers.insert(client, open(server, &names.fill(path)).await);
            assert!(before.is_none(), "{at}: it is connected already");
            continue;
        }
        if let Step::Refused(status) = step {
            let refused = peers.remove(client).and_then(Handshake::err).unwrap_or_default();
            assert!(refused.contains(&status.to_string()), "{at}\nrefused: {refused}");
            continue;
        }
        if !peers.contains_key(client) {
            peers.insert(client, open(server, "/").await);
        }
        let peer = peers.get_mut(client).expect("the client is inserted above");
        let peer = peer.as_mut().unwrap_or_else(|error| panic!("{at}\nrefused: {error}"));
        match step {
            Step::Send(frame) => peer.send_text(names.fill(frame)).await,
            Step::SendBinary(bytes) => peer.send_binary(names.fill(bytes).as_bytes()).await,
            Step::Close(code) => peer.send_close(code).await,
            Step::Receive(expected) => {
                let received = peer.try_next().await.unwrap_or_else(|other| panic!("{at}\nreceived {other}"));
                assert!(names.match_and_capture(&expected, &received), "{at}\nreceived {received}");
            }
            Step::Closed(expected) => {
                assert_eq!(peer.next_close().await, Ok(expected), "{at}");
                peers.remove(client);
            }
            Step::Open(_) | Step::Refused(_) => unreachable!("handled above"),
        }
    }
    for (client, peer) in &mut peers {
        let peer = peer.as_mut().unwrap_or_else(|error| panic!("{name}: {client} was refused: {error}"));
        peer.silent().await.unwrap_or_else(|item| panic!("{name}: {client} received more: {item}"));
    }
}

async fn open(server: &str, path: &str) -> Handshake {
    Peer::try_connect(&format!("{server}{path}"), &[]).await
}

/// Captured strings, by their names in the transcript.
#[derive(Default)]
struct Names(BTreeMap<String, String>);

impl Names {
    /// Replaces `<name>` with the captured string and `<x*100>` with a hundred `x`.
    fn fill(&self, line: &str) -> String {
        let mut filled = String::with_capacity(line.len());
        let mut rest = line;
        while let Some(start) = rest.find('<') {
            let (before, from) = rest.split_at(start);
            filled.push_str(before);
            let value = from.find('>').and_then(|end| Some((self.value(&from[1..end])?, end + 1)));
            let (value, end) = value.unwrap_or_else(|| ("<".into(), 1));
            filled.push_str(&value);
            rest = &from[end..];
        }
        filled + rest
    }

    fn value(&self, between: &str) -> Option<String> {
        let repeated = || {
            let (text, times) = between.split_once('*')?;
            Some(text.repeat(times.parse().ok()?))
        };
        self.0.get(between).cloned().or_else(repeated)
    }

    /// Returns true if a frame matches; then its `<new name>` strings are captured.
    fn match_and_capture(&mut self, expected: &Value, received: &Value) -> bool {
        let expected = serde_json::from_str(&self.fill(&expected.to_string()));
        let expected = expected.expect("a filled frame is JSON");
        matches(&expected, received) && self.capture(&expected, received)
    }

    /// Returns false if a string that must be new was captured before.
    fn capture(&mut self, expected: &Value, received: &Value) -> bool {
        match (expected, received) {
            (Value::String(name), Value::String(text)) => match new_name(name) {
                Some(_) if self.0.values().any(|known| known == text) => false,
                Some(name) => self.0.insert(name.into(), text.clone()).is_none(),
                None => true,
            },
            (Value::Object(expected), Value::Object(received)) => {
                expected.iter().all(|(key, value)| self.capture(value, &received[key]))
            }
            (Value::Array(expected), Value::Array(received)) => {
                expected.iter().zip(received).all(|(value, own)| self.capture(value, own))
            }
            _ => true,
        }
    }
}

/// The `a` of `<new a>`.
fn new_name(text: &str) -> Option<&str> {
    text.strip_prefix("<new ")?.strip_suffix('>')
}

/// Returns true if a frame matches; [`ANY`] matches any value.
pub fn matches(expected: &Value, received: &Value) -> bool {
    match (expected, received) {
        (Value::String(any), _) if any == ANY => true,
        (Value::String(ms), Value::Number(number)) if ms == MS => number.is_u64(),
        (Value::String(time), Value::Number(number)) if time == TIME => {
            number.as_u64().is_some_and(|ms| (1_000_000_000_000..10_000_000_000_000).contains(&ms))
        }
        (Value::String(name), Value::String(text)) if new_name(name).is_some() => !text.is_empty(),
        (Value::Object(expected), Value::Object(received)) => {
            expected.len() == received.len()
                && expected
                    .iter()
                    .all(|(key, value)| received.get(key).is_some_and(|own| matches(value, own)))
        }
        (Value::Array(expected), Value::Array(received)) => {
            expected.len() == received.len()
                && expected.iter().zip(received).all(|(value, own)| matches(value, own))
        }
        _ => expected == received,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_new_name_captures_a_string_that_later_lines_can_use() {
        let mut names = Names::default();
        assert!(
            names.match_and_capture(
                &json!({ "id": "<new a>", "n": ["<ms>"] }),
                &json!({ "id": "7", "n": [5] })
            )
        );
        assert_eq!(names.fill("<a>, <a> and <b>, <<a>"), "7, 7 and <b>, <7");
        assert!(names.match_and_capture(&json!({ "<a>": "<any>" }), &json!({ "7": null })));
        assert!(!names.match_and_capture(&json!({ "<a>": 1 }), &json!({ "8": 1 })));
        assert!(!names.match_and_capture(&json!("<new b>"), &json!("7")), "it was captured before");
        assert!(!names.match_and_capture(&json!("<new b>"), &json!(8)), "it is not a string");
        assert!(names.match_and_capture(&json!(["<new b>", "<a>"]), &json!(["8", "7"])));
    }

    #[test]
    fn a_repetition_is_expanded() {
        assert_eq!(Names::default().fill("\"<x*3>\" <€*2> <x*y> <1*0>."), "\"xxx\" €€ <x*y> .");
    }

    #[test]
    fn a_number_pattern_matches_its_kind_only() {
        for (pattern, good, bad) in [
            (MS, json!([0, 7]), json!([-1, 0.5, "7", null])),
            (TIME, json!([1_795_219_120_134_u64]), json!([1_795_219_120, 0, -1, "1795219120134"])),
        ] {
            let fits = |value: &Value| matches(&json!(pattern), value);
            assert!(good.as_array().unwrap().iter().all(fits), "{pattern}");
            assert!(!bad.as_array().unwrap().iter().any(fits), "{pattern}");
        }
    }

    #[test]
    fn a_line_is_parsed_into_its_client_and_step() {
        let text = "# c\n\nA> [open /koji?x=[1]]\nA< [refused 400]\nB> [close 1000]\nB> [bin] x\nB> [close";
        let steps: Vec<String> = parse("t", text).iter().map(|line| format!("{:?}", line.step)).collect();
        let expected =
            ["Open(\"/koji?x=[1]\")", "Refused(400)", "Close(1000)", "SendBinary(\"x\")", "Send(\"[close\")"];
        assert_eq!(steps, expected);
    }
}
