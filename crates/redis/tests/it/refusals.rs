//! Errors of a first connection: they contain the server's answer.

use switchboard_redis::{ConnectError, Options, Redis};
use switchboard_testkit::{RedisServer, TestServer, redis::free_port, tls::TlsProxy};

/// The error of connecting, with its cause.
async fn error(url: &str) -> String {
    match Redis::connect(Options::new(url)).await {
        Err(ConnectError::Unreachable { addresses, cause }) => format!("{addresses}: {cause}"),
        Err(error) => panic!("{url}: {error}"),
        Ok(_) => panic!("{url}: it connects"),
    }
}

async fn assert_error(url: &str, expected: &str) {
    let error = error(url).await;
    assert!(error.contains(expected), "`{error}` contains `{expected}`");
}

#[tokio::test]
async fn a_server_at_its_limit_of_clients_is_named_with_its_own_words() {
    let server = RedisServer::start().await;
    assert_eq!(server.ask("CONFIG SET maxclients 1").await, "+OK");
    let client = redis::Client::open(server.url()).expect("the URL is valid");
    let _only = client.get_multiplexed_async_connection().await.expect("there is room for one");
    assert_error(&server.url(), "max number of clients reached").await;
}

#[tokio::test]
async fn a_missing_or_wrong_password_is_named() {
    let server = RedisServer::start_with(&["--requirepass", "secret"]).await;
    assert_error(&server.url(), "NOAUTH").await;
    assert_error(&format!("redis://:wrong@127.0.0.1:{}", server.port()), "WRONGPASS").await;
}

#[tokio::test]
async fn another_service_on_the_port_is_named_by_its_answer() {
    let http = TestServer::start(switchboard::App::new()).await;
    assert_error(&format!("redis://{}", http.address), "this is no Redis server; it sent `HTTP/1.1 400")
        .await;
}

#[tokio::test]
async fn tls_on_one_side_only_is_named() {
    let server = RedisServer::start().await;
    let proxy = TlsProxy::start("localhost", ([127, 0, 0, 1], server.port()).into()).await;
    assert_error(&format!("redis://localhost:{}", proxy.address.port()), "rediss://").await;
    assert_error(&format!("rediss://localhost:{}", server.port()), "redis://").await;
}

#[tokio::test]
async fn an_ipv6_address_is_shown_in_brackets() {
    assert_error(&format!("redis://[::1]:{}", free_port()), "[::1]:").await;
}
