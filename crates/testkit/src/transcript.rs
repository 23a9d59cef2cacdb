//! Plays the transcripts of `spec/transcripts` against a server.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::TestServer;

/// Stands for any value in an expected frame.
const ANY: &str = "<any>";

/// Plays one transcript; the format is in `spec/transcripts/README.md`.
///
/// # Panics
/// At the first line that is not as it is written.
pub async fn play(server: &TestServer, name: &str, text: &str) {
    let mut peers = BTreeMap::new();
    for (number, line) in
        text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
    {
        let at = format!("{name}:{}: {line}", number + 1);
        let (who, rest) = line.split_at(1);
        if !peers.contains_key(who) {
            peers.insert(who, server.peer().await);
        }
        let peer = peers.get_mut(who).expect("it was put there");
        let (direction, frame) =
            rest.split_once(' ').unwrap_or_else(|| panic!("{at}: not `A> frame` or `A< frame`"));
        match (direction, frame.strip_prefix("[bin] "), frame.strip_prefix("[close ")) {
            (">", Some(binary), _) => peer.send_binary(binary.as_bytes()).await,
            (">", None, _) => peer.send_text(frame).await,
            ("<", _, Some(code)) => {
                let (closed, _) = peers.remove(who).expect("it is there").closed().await;
                assert_eq!(closed.to_string(), code.trim_end_matches(']'), "{at}");
            }
            ("<", ..) => {
                let expected: Value =
                    serde_json::from_str(frame).unwrap_or_else(|error| panic!("{at}: {error}"));
                let heard = peer.next().await;
                assert!(matches(&expected, &heard), "{at}\nheard {heard}");
            }
            _ => panic!("{at}: not `A> frame` or `A< frame`"),
        }
    }
    for peer in peers.values_mut() {
        peer.quiet().await;
    }
}

fn matches(expected: &Value, heard: &Value) -> bool {
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
