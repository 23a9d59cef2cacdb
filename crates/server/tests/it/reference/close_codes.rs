//! `docs/reference/close-codes.md`: a table of the codes that `switchboard_ws` names.

use switchboard_testkit::generated;
use switchboard_ws::CloseCode;

use super::{cell, note};

/// Code, meaning on a Switchboard server, and whether a client should reconnect.
const CODES: &[(CloseCode, &str, &str)] = &[
    (
        CloseCode::NORMAL,
        "Normal end: the application or the client closed the connection.",
        "if the client wants to",
    ),
    (CloseCode::GOING_AWAY, "The user left the page. The server never sends it.", "if the client wants to"),
    (
        CloseCode::PROTOCOL,
        "The client violated the WebSocket protocol, or a Mesa client has a version other than \
         `mesa.enforce_equal_versions`. The reason has the details.",
        "after the client is corrected",
    ),
    (
        CloseCode::UNSUPPORTED,
        "The server never sends it by itself; an application may.",
        "after the client is corrected",
    ),
    (
        CloseCode::NO_STATUS,
        "The close frame had no code. It is never part of a frame.",
        "if the client wants to",
    ),
    (
        CloseCode::ABNORMAL,
        "The connection ended without a close frame: the network failed, or the client was silent between two \
         heartbeats. It is never part of a frame.",
        "yes",
    ),
    (CloseCode::INVALID_PAYLOAD, "A text message was not valid UTF-8.", "after the client is corrected"),
    (
        CloseCode::POLICY,
        "The client exceeded `limits.messages_per_s`, `limits.bytes_per_s` or `limits.message_timeout_ms`, or a rule of `limits.rules` that closes; the reason names the limit. For a Mesa \
         client also: its token was refused, or a required token is missing. For a Koji client also: it has no right to \
         join the shard, or has lost it; the reason names the shard or the token.",
        "later and slower; with another token",
    ),
    (
        CloseCode::TOO_BIG,
        "A message exceeded the limit: `limits.message_bytes_max`, and 512 KiB for Koji clients.",
        "yes, with smaller messages",
    ),
    (
        CloseCode::INTERNAL,
        "The server never sends it by itself; an application may.",
        "yes, after a random delay",
    ),
    (CloseCode::RESTART, "The server is stopping or restarting.", "yes, after a random delay"),
    (
        CloseCode::TRY_AGAIN_LATER,
        "The client did not read, and its outbox was full, so messages were lost; or unfinished messages from its address \
         exceeded `limits.unfinished_bytes_per_address_max`. For a Koji client also: no seat is available, because the \
         project is full or Redis cannot be reached. The reason names the cause.",
        "yes, after a random delay",
    ),
];

#[test]
fn the_generated_close_codes_are_current() {
    let mut text = note("the table of close codes");
    text += "# Close codes\n\n| code | meaning | reconnect? |\n|---|---|---|\n";
    for (code, meaning, reconnect) in CODES {
        text += &format!("| {code} | {} | {reconnect} |\n", cell(meaning));
    }
    text += "| 3000–4999 | Defined by the application. | as the application defines |\n\n";
    text += "A handshake is refused with an HTTP status instead; see [emit](../../spec/emit.md#1-connection) and \
             [Koji](../../spec/koji.md#1-connection).\n\n";
    text += "Original emit.gg clients ignore the code: with `reconnect` on they reconnect after any close. Original Koji \
             clients reconnect after every code except 1000, 1001 and 1005, after 5 s and at most ten times. A stopping \
             server therefore sends 1012, and an application that closes with 1000 ends the session for good.\n";
    generated::assert_current("docs/reference/close-codes.md", &text);
}

#[test]
fn every_named_close_code_is_in_the_table() {
    let source = include_str!("../../../../ws/src/close.rs");
    let named = source
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub const ")?.split_once(": CloseCode = "));
    let codes: Vec<String> = named
        .map(|(_, value)| value.trim_start_matches("CloseCode(").trim_end_matches(");").to_owned())
        .collect();
    let listed: Vec<String> = CODES.iter().map(|(code, ..)| code.to_string()).collect();
    assert_eq!(codes, listed);
}
