//! The transcripts of `spec/transcripts`: reads them, and plays them against a server.
//!
//! The format is in `spec/transcripts/README.md`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::TestServer;

/// Stands for any value in an expected frame.
pub const ANY: &str = "<any>";

/// One line of a transcript that is a frame.
#[derive(Debug)]
pub struct Line<'a> {
    /// Its file, number and text, to say where something went wrong.
    pub at: String,
    /// Whose frame it is.
    pub who: &'a str,
    /// What happens.
    pub step: Step<'a>,
}

/// What a line says.
#[derive(Debug)]
pub enum Step<'a> {
    /// `A> …`: the client sends this as a text message, byte for byte.
    Send(&'a str),
    /// `A> [bin] …`: the client sends this as a binary message.
    SendBinary(&'a str),
    /// `A< …`: the next message the client receives.
    Hear(Value),
    /// `A< [close …]`: the next thing the client receives is a close frame with this code.
    Closed(u16),
}

/// Reads a transcript.
///
/// # Panics
/// At the first line that is none.
pub fn parse<'a>(name: &str, text: &'a str) -> Vec<Line<'a>> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines.map(|(number, line)| parse_line(format!("{name}:{}: {line}", number + 1), line)).collect()
}

fn parse_line(at: String, line: &str) -> Line<'_> {
    let (who, rest) = line.split_at(1);
    let (direction, frame) =
        rest.split_once(' ').unwrap_or_else(|| panic!("{at}: not `A> frame` or `A< frame`"));
    let step = match (direction, frame.strip_prefix("[bin] "), frame.strip_prefix("[close ")) {
        (">", Some(binary), _) => Step::SendBinary(binary),
        (">", None, _) => Step::Send(frame),
        ("<", _, Some(code)) => {
            let code = code.trim_end_matches(']').parse();
            Step::Closed(code.unwrap_or_else(|error| panic!("{at}: {error}")))
        }
        ("<", ..) => Step::Hear(serde_json::from_str(frame).unwrap_or_else(|error| panic!("{at}: {error}"))),
        _ => panic!("{at}: not `A> frame` or `A< frame`"),
    };
    Line { at, who, step }
}

/// Plays one transcript against a server that serves the demo.
///
/// # Panics
/// At the first line that is not as it is written.
pub async fn play(server: &TestServer, name: &str, text: &str) {
    let mut peers = BTreeMap::new();
    for Line { at, who, step } in parse(name, text) {
        if !peers.contains_key(who) {
            peers.insert(who, server.peer().await);
        }
        let peer = peers.get_mut(who).expect("it was put there");
        match step {
            Step::Send(frame) => peer.send_text(frame).await,
            Step::SendBinary(bytes) => peer.send_binary(bytes.as_bytes()).await,
            Step::Hear(expected) => {
                let heard = peer.next().await;
                assert!(matches(&expected, &heard), "{at}\nheard {heard}");
            }
            Step::Closed(expected) => {
                let (code, _) = peers.remove(who).expect("it is there").closed().await;
                assert_eq!(code, expected, "{at}");
            }
        }
    }
    for peer in peers.values_mut() {
        peer.quiet().await;
    }
}

/// Whether a frame is as it was expected, with [`ANY`] for any value.
pub fn matches(expected: &Value, heard: &Value) -> bool {
    match (expected, heard) {
        (Value::String(any), _) if any == ANY => true,
        (Value::Object(expected), Value::Object(heard)) => {
            expected.len() == heard.len()
                && expected.iter().all(|(key, value)| heard.get(key).is_some_and(|own| matches(value, own)))
        }
        (Value::Array(expected), Value::Array(heard)) => {
            expected.len() == heard.len()
                && expected.iter().zip(heard).all(|(value, own)| matches(value, own))
        }
        _ => expected == heard,
    }
}
