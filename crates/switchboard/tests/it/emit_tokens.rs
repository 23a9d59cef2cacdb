//! Tokens of emit clients: in the address, in a header, in a cookie, and by `@identify`.

use std::sync::Arc;

use serde_json::json;
use switchboard::access::{AccessRequest, Rights};
use switchboard::net::AcceptOptions;
use switchboard::{App, Data, Identity, Reply, ReplyError, Socket, UserId};
use switchboard_testkit::{Peer, TestServer};
use tokio::sync::oneshot;

use crate::support::verify;

async fn whoami(socket: Socket) -> Reply<Option<String>> {
    Reply(socket.user().map(|user| user.to_string()))
}

fn app() -> App {
    let options = AcceptOptions { token_cookie: Some("session".into()), ..AcceptOptions::default() };
    App::new().on("/whoami", whoami).with_accept_options(options).with_verifier(verify)
}

#[tokio::test]
async fn a_client_logs_in_by_address_header_or_cookie_and_the_first_of_these_counts() {
    let server = TestServer::start(app()).await;
    for (path, headers, user) in [
        ("/?token=ann", &[][..], json!("ann")),
        ("/chat?x=1&token=&token=ann", &[], json!("ann")),
        ("/", &[("authorization", "Bearer bob")], json!("bob")),
        ("/", &[("cookie", "a=b; session=cat")], json!("cat")),
        ("/?token=ann", &[("authorization", "Bearer bob"), ("cookie", "session=cat")], json!("ann")),
        ("/", &[("authorization", "Bearer bob"), ("cookie", "session=cat")], json!("bob")),
        ("/", &[("cookie", "other=cat")], json!(null)),
        ("/?tokens=ann", &[], json!(null)),
    ] {
        let mut peer = Peer::try_connect(&server.url(path), headers).await.unwrap();
        assert_eq!(peer.request("/whoami", json!({})).await, user, "{path} {headers:?}");
    }
}

#[tokio::test]
async fn a_cookie_is_refused_to_pages_of_other_hosts_unless_their_origin_is_listed() {
    let server = TestServer::start(app()).await;
    let own = format!("http://{}", server.address);
    let connect = async |origin: &str, path: &str| {
        let headers = [("cookie", "session=ann"), ("origin", origin)];
        Peer::try_connect(&server.url(path), &headers).await
    };
    let mut same_host = connect(&own, "/").await.unwrap();
    assert_eq!(same_host.request("/whoami", json!({})).await, "ann");
    assert!(connect("https://evil.example", "/").await.is_err());
    assert!(connect("https://evil.example", "/?sb=1").await.is_err());
    // The page shows a token of its own, so the cookie is not used.
    let mut with_token = connect("https://evil.example", "/?token=eve").await.unwrap();
    assert_eq!(with_token.request("/whoami", json!({})).await, "eve");
    let allowed_origins = Some(vec!["https://app.example".parse().unwrap()]);
    let options =
        AcceptOptions { allowed_origins, token_cookie: Some("session".into()), ..AcceptOptions::default() };
    server.app.set_accept_options(options);
    let mut listed = connect("https://app.example", "/").await.unwrap();
    assert_eq!(listed.request("/whoami", json!({})).await, "ann");
}

#[tokio::test]
async fn a_page_of_another_host_without_a_cookie_connects_as_before() {
    let server = TestServer::start(app()).await;
    let headers = [("origin", "https://other.example")];
    let mut peer = Peer::try_connect(&server.url("/"), &headers).await.unwrap();
    assert_eq!(peer.request("/whoami", json!({})).await, json!(null));
}

#[tokio::test]
async fn identify_is_answered_and_replaces_the_user() {
    let server = TestServer::start(app()).await;
    let mut peer = Peer::connect(&server.url("/?token=ann")).await;
    assert_eq!(peer.request("@identify", json!({ "token": "bob" })).await, json!({ "user": "bob" }));
    assert_eq!(peer.request("/whoami", json!({})).await, "bob");
    let long = "x".repeat(300);
    assert_eq!(peer.request("@identify", json!({ "token": long })).await["code"], "verifier");
    for data in [json!({}), json!({ "token": 7 }), json!("bob"), json!(null)] {
        assert_eq!(peer.request("@identify", data).await["code"], "no_token");
    }
    assert_eq!(peer.request("/whoami", json!({})).await, "bob", "a refused token changes nothing");
}

#[tokio::test]
async fn only_a_client_that_asks_for_events_of_the_server_is_told_of_a_token_in_its_address() {
    let server = TestServer::start(app()).await;
    let mut peer = Peer::connect(&server.url("/?sb=1&token=ann")).await;
    assert_eq!(peer.next_event().await, ("@identified".into(), json!({ "user": "ann" })));
    let long = "x".repeat(300);
    let mut refused = Peer::connect(&server.url(&format!("/?sb=1&token={long}"))).await;
    assert_eq!(refused.next_event().await.1["code"], "verifier");
    Peer::connect(&server.url("/?token=ann")).await.quiet().await;
}

#[tokio::test]
async fn frames_after_a_token_wait_until_it_is_verified() {
    let (release, released) = oneshot::channel::<()>();
    let released = std::sync::Arc::new(tokio::sync::Mutex::new(Some(released)));
    let verifier = move |token: String| {
        let released = released.clone();
        async move {
            if let Some(released) = released.lock().await.take() {
                released.await.unwrap();
            }
            verify(token).await
        }
    };
    let server = TestServer::start(App::new().on("/whoami", whoami).with_verifier(verifier)).await;
    let mut peer = Peer::connect(&server.url("/?token=ann")).await;
    peer.send(&json!({ "event": "/whoami", "data": {}, "ackId": "1" })).await;
    release.send(()).unwrap();
    assert_eq!(peer.next().await["data"], "ann");
}

#[tokio::test]
async fn without_a_verifier_a_token_in_the_address_is_the_applications() {
    let server = TestServer::start(App::new().on("/token", async |socket: Socket| {
        Reply(socket.info().query("token").map(|token| token.into_owned()))
    }))
    .await;
    let mut peer = Peer::connect(&server.url("/?sb=1&token=mine")).await;
    assert_eq!(peer.request("/token", json!({})).await, "mine");
    assert_eq!(peer.request("@identify", json!({ "token": "x" })).await["code"], "no_verifier");
}

/// Every token gives the user in it, and the right to join one room.
async fn with_a_room(token: String) -> Result<Identity, String> {
    let user = UserId::new(&token).map_err(|error| error.to_string())?;
    let rights = Rights::new([("#own", "j")]).map_err(|error| error.to_string())?;
    Ok(Identity { rights: Some(Arc::new(rights)), ..Identity::new(user) })
}

#[tokio::test]
async fn a_logout_ends_the_user_and_the_rooms_that_only_its_token_gave() {
    async fn join(socket: Socket) -> Result<Reply<usize>, ReplyError> {
        socket.join_as_client("own")?;
        Ok(Reply(socket.rooms().len()))
    }
    async fn leave(socket: Socket, Data(user): Data<String>) -> Result<Reply<(bool, usize)>, ReplyError> {
        let was_in = socket.logout(&user)?;
        Ok(Reply((was_in, socket.rooms().len())))
    }
    let app = App::new().on("/join", join).on("/leave", leave).on("/whoami", whoami);
    let server =
        TestServer::start(app.with_verifier(with_a_room).with_access_rule(|_: &AccessRequest<'_>| false))
            .await;
    let mut peer = Peer::connect(&server.url("/?token=ann")).await;
    assert_eq!(peer.request("/join", json!({})).await, 1);
    assert_eq!(peer.request("/leave", json!("bob")).await, json!([false, 1]));
    assert_eq!(peer.request("/leave", json!("ann")).await, json!([true, 0]));
    assert_eq!(peer.request("/whoami", json!({})).await, json!(null));
    assert_eq!(peer.request("/join", json!({})).await["code"], "forbidden");
    assert_eq!(peer.request("/leave", json!("ann")).await, json!([false, 0]));
}
