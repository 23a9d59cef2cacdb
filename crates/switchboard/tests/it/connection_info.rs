//! The connection of a client as handlers see it: address, headers, and the reports of proxies.

use serde_json::json;
use switchboard::net::{AcceptOptions, ForwardedHeader};
use switchboard::{App, ConnectionInfo, Reply};
use switchboard_testkit::{Peer, TestServer};

#[tokio::test]
async fn a_handler_receives_the_connection_info() {
    let kept_headers = ["origin", "x-thing"].map(|name| name.parse().unwrap()).into();
    let options = AcceptOptions { kept_headers, ..AcceptOptions::default() };
    let app = App::new().with_accept_options(options).on("/info", async |info: ConnectionInfo| {
        Reply(json!([
            info.path(),
            info.query_json(),
            info.header("X-Thing"),
            info.ip(),
            info.origin(),
            info.secure(),
            info.header("sec-websocket-key"),
        ]))
    });
    let server = TestServer::start(app).await;
    let headers = [("x-thing", "a b"), ("origin", "http://page.example"), ("x-forwarded-for", "9.9.9.9")];
    let mut peer = Peer::try_connect(&server.url("/some/path?a=1&b=x%20y&a=2"), &headers).await.unwrap();
    let expected = json!([
        "/some/path", { "a": ["1", "2"], "b": "x y" }, "a b", "127.0.0.1", "http://page.example", false, null,
    ]);
    assert_eq!(peer.request("/info", json!({})).await, expected, "headers of an untrusted proxy are ignored");
}

#[tokio::test]
async fn forwarded_addresses_are_accepted_only_from_trusted_proxies() {
    let options =
        AcceptOptions { trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()], ..AcceptOptions::default() };
    let app = App::new()
        .with_accept_options(options)
        .on("/info", async |info: ConnectionInfo| Reply(json!([info.ip(), info.secure()])));
    let server = TestServer::start(app).await;
    for (list, ip) in [
        ("9.9.9.9", "9.9.9.9"),
        ("9.9.9.9, 127.0.0.2", "9.9.9.9"),
        ("6.6.6.6, 9.9.9.9, 127.0.0.2,127.0.0.3", "9.9.9.9"),
        ("6.6.6.6, nonsense, 127.0.0.2", "127.0.0.2"),
        ("9.9.9.9:1000", "9.9.9.9"),
        ("[2001:db8::1]:1000", "2001:db8::1"),
        ("\"[2001:db8::1]\", 127.0.0.2:44", "2001:db8::1"),
        ("nonsense", "127.0.0.1"),
    ] {
        let headers = [("x-forwarded-for", list), ("x-forwarded-proto", "https")];
        let mut peer = Peer::try_connect(&server.url("/"), &headers).await.unwrap();
        assert_eq!(peer.request("/info", json!({})).await, json!([ip, true]), "{list}");
    }
    let headers = [("forwarded", "for=\"[2001:db8::1]:1000\";proto=https, for=127.0.0.2")];
    let mut peer = Peer::try_connect(&server.url("/"), &headers).await.unwrap();
    assert_eq!(peer.request("/info", json!({})).await, json!(["2001:db8::1", true]));
    let headers = [("forwarded", "for=9.9.9.9"), ("x-forwarded-for", "6.6.6.6")];
    let mut peer = Peer::try_connect(&server.url("/"), &headers).await.unwrap();
    assert_eq!(peer.request("/info", json!({})).await, json!(["127.0.0.1", false]), "one of both is forged");
}

#[tokio::test]
async fn only_the_selected_header_of_trusted_proxies_is_read() {
    let options = AcceptOptions {
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
        forwarded_header: Some(ForwardedHeader::Forwarded),
        ..AcceptOptions::default()
    };
    let app = App::new()
        .with_accept_options(options)
        .on("/ip", async |info: ConnectionInfo| Reply(json!(info.ip())));
    let server = TestServer::start(app).await;
    let headers = [("forwarded", "for=9.9.9.9"), ("x-forwarded-for", "6.6.6.6")];
    let mut peer = Peer::try_connect(&server.url("/"), &headers).await.unwrap();
    assert_eq!(peer.request("/ip", json!({})).await, "9.9.9.9");
}
