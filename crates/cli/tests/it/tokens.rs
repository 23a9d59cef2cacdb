//! Tokens at the packaged server: which are accepted, and how refused ones are counted.

use std::io::{Read, Write};
use std::net::TcpStream;

use switchboard_testkit::raw::frame;

use crate::support::{Server, read_to, run, upgraded};

const SECRET: &str = "auth.jwt_secret=a secret of this test, and long enough";

fn make(args: &[&str]) -> String {
    let output = run(&[&["token", "make", "--set", SECRET], args].concat());
    String::from_utf8(output.stdout).expect("a token is text").trim().to_owned()
}

fn send(client: &mut TcpStream, text: &str) {
    client.write_all(&frame(0x81, text.as_bytes())).expect("the connection is open");
}

/// Sends a token and reads the answer.
fn identify(client: &mut TcpStream, token: &str, answer: &str) {
    send(client, &format!(r#"{{"eventName":"@@KOJI_DISPATCH/IDENTIFY","payload":{{"token":{token}}}}}"#));
    read_to(client, answer.as_bytes());
}

#[test]
fn refused_tokens_of_koji_and_mesa_clients_are_counted_by_reason() {
    let server = Server::start(&["serve", "--set", SECRET, "--set", "mesa.enabled=true"]);
    let mut koji = upgraded(&server.address, "/?projectId=p&identify=answered&authorization=x");
    read_to(&mut koji, br#"{"error":"malformed"}"#);
    let valid = make(&["ann", "--expires-in", "1h"]);
    let other = make(&["ann", "--set", "auth.jwt_secret=another secret of this test, and long enough"]);
    for (token, answer) in [
        (format!("\"{valid}\""), r#"{"user":"ann"}"#),
        (format!("\"{other}\""), r#"{"error":"signature"}"#),
        (format!("\"{}\"", make(&["ann", "--claim", "exp=1"])), r#"{"error":"expired"}"#),
        (format!("\"{}\"", make(&["ann", "--claim", "nbf=99999999999"])), r#"{"error":"not_yet_valid"}"#),
        (format!("\"{}\"", make(&["ann", "--claim", "iss=[\"us\"]"])), r#"{"error":"claim"}"#),
        ("5".to_owned(), r#"{"error":"no_token"}"#),
    ] {
        identify(&mut koji, &token, answer);
    }
    for token in ["null", "\"x\""] {
        let mut mesa = upgraded(&server.address, "/mesa");
        send(&mut mesa, &format!(r#"{{"op":2,"d":{{"token":{token}}}}}"#));
        let mut rest = Vec::new();
        mesa.read_to_end(&mut rest).expect("the server closes the connection");
        assert!(rest.windows(2).any(|code| code == 1008_u16.to_be_bytes()), "{rest:?}");
    }
    let metrics = server.get("/metrics");
    assert!(metrics.contains("switchboard_tokens_accepted_total{protocol=\"koji\"} 1\n"), "{metrics}");
    for (protocol, reason, count) in [
        ("koji", "malformed", 1),
        ("mesa", "malformed", 1),
        ("koji", "signature", 1),
        ("koji", "expired", 1),
        ("koji", "not_yet_valid", 1),
        ("koji", "claim", 1),
        ("koji", "no_token", 1),
        ("mesa", "no_token", 1),
    ] {
        let labels = format!("protocol=\"{protocol}\",reason=\"{reason}\"");
        let line = format!("switchboard_tokens_refused_total{{{labels}}} {count}\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
}
