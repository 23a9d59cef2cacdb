//! The demo: its pages, and the addresses of the three protocols.

use crate::support::{Server, upgraded};
use std::io::{Read, Write};
use std::net::TcpStream;

/// The first frame from the server after an emit request on the path of a Koji client.
fn first_reply(server: &Server) -> serde_json::Value {
    first_reply_at(server, "/?projectId=p")
}

fn first_reply_at(server: &Server, path: &str) -> serde_json::Value {
    let mut stream = upgraded(&server.address, path);
    let join = br#"{"event":"/join","data":{"room":"r"},"ackId":1}"#;
    // One text frame; a mask of zeros leaves the payload unchanged.
    let frame = [&[0x81, 0x80 | join.len() as u8, 0, 0, 0, 0], &join[..]].concat();
    stream.write_all(&frame).expect("a frame");
    next_frame(&mut stream)
}

/// The next text frame, as JSON.
fn next_frame(stream: &mut TcpStream) -> serde_json::Value {
    let mut head = [0; 2];
    stream.read_exact(&mut head).expect("a frame");
    let mut length = u16::from(head[1]);
    if length == 126 {
        stream.read_exact(&mut head).expect("a longer length");
        length = u16::from_be_bytes(head);
    }
    let mut text = vec![0; length.into()];
    stream.read_exact(&mut text).expect("all of the frame");
    serde_json::from_slice(&text).expect("it is JSON")
}

#[test]
fn without_a_command_the_demo_runs_and_prints_its_addresses() {
    let server = Server::start(&[]);
    assert!(server.banner.contains("page     http://127.0.0.1:"), "{}", server.banner);
    assert!(server.banner.contains("open to everyone"), "{}", server.banner);
    assert!(server.get("/").contains("<title>"));
    assert!(server.get("/livez").ends_with("ok\n"));
    assert!(server.get("/readyz").ends_with("ready\n"));
    assert!(server.get("/no-such-file").starts_with("HTTP/1.1 404"));
}

#[test]
fn koji_is_on_by_default_and_can_be_switched_off() {
    for mode in ["demo", "serve"] {
        let server = Server::start(&[mode]);
        let first = first_reply(&server);
        assert_eq!(first["eventName"], "@@KOJI_DISPATCH/CONNECTED", "{mode}: {first}");
        assert_eq!(first["payload"]["shardName"], "shard-1");
        assert!(server.get("/info/p").starts_with("HTTP/1.1 200"));
        assert!(server.banner.contains("koji     ws://"), "{}", server.banner);

        let server = Server::start(&[mode, "--set", "koji.enabled=false"]);
        let first = first_reply(&server);
        assert_eq!(first["data"]["joined"], "r", "{mode}, without Koji: {first}");
        assert!(server.get("/info/p").starts_with("HTTP/1.1 404"));
        assert!(!server.banner.contains("koji"), "{}", server.banner);
        assert!(!server.get("/").contains("/canvas/"), "pages that need Koji are not offered");
    }
}

#[test]
fn mesa_is_off_by_default_and_has_an_address_of_its_own() {
    let server = Server::start(&["serve"]);
    assert!(!server.banner.contains("mesa"), "{}", server.banner);

    let sets = ["mesa.enabled=true", "mesa.listen=127.0.0.1:0", "mesa.reconnect.enabled=true"];
    let server = Server::start(&[&["serve"][..], &sets.map(|set| ["--set", set]).concat()].concat());
    let (_, own) = server.banner.split_once("/mesa, ws://").expect("the banner has both addresses");
    let own = own.split('/').next().expect("an address");
    for (address, path) in [(own, "/"), (own, "/any"), (&*server.address, "/mesa")] {
        let hello = next_frame(&mut upgraded(address, path));
        assert_eq!(hello["op"], 10, "{address}{path}: {hello}");
        assert_eq!(hello["d"]["c_reconnect_interval"], 5000);
    }
}

#[test]
fn mesa_clients_connect_at_the_configured_path() {
    let sets = ["mesa.enabled=true", "mesa.listen=127.0.0.1:0", "mesa.path=/gateway"];
    let server = Server::start(&[&["serve"][..], &sets.map(|set| ["--set", set]).concat()].concat());
    assert!(server.banner.contains(&format!("ws://{}/gateway, ws://", server.address)), "{}", server.banner);
    assert_eq!(next_frame(&mut upgraded(&server.address, "/gateway"))["op"], 10);
    assert_eq!(
        first_reply(&server)["eventName"],
        "@@KOJI_DISPATCH/CONNECTED",
        "the path of Koji is unchanged"
    );
    assert_eq!(first_reply_at(&server, "/mesa")["data"]["joined"], "r", "all other paths belong to emit");
}

#[test]
fn the_demo_serves_the_canvas_page() {
    let server = Server::start(&["demo"]);
    assert!(server.banner.contains("/canvas/"), "{}", server.banner);
    assert!(server.get("/canvas/").contains("<title>Canvas"));
    let answer = server.get("/canvas");
    assert!(answer.starts_with("HTTP/1.1 308") && answer.contains("location: /canvas/"), "{answer}");
}

#[test]
fn the_demo_serves_the_example_pages_or_explains_why_they_are_missing() {
    let server = Server::start(&["demo"]);
    let page = server.get("/examples/");
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    match server.banner.split_once("examples not in this build: ") {
        Some((_, reason)) => assert!(page.contains(reason.lines().next().expect("a reason")), "{page}"),
        None => {
            assert!(server.banner.contains("/examples/"), "{}", server.banner);
            assert!(page.contains("href=\"chat/\""), "{page}");
            assert!(server.get("/examples/chat/main.js").contains("text/javascript"));
        }
    }
}
