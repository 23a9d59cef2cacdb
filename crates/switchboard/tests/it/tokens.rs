//! The bounds on tokens: their number, length and time, and what ends when a socket closes.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use switchboard::protocols::MesaSettings;
use switchboard::{App, Identity, Koji, Limits, Mesa, ProjectId, UserId};
use switchboard_testkit::{KojiPeer, TestServer, soon, until};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::support::{connect, connect_as, limits, log_in, login_message};

/// Accepts every token but `bad…` as the id of its user, and counts the calls of the verifier.
fn app_with_counter(verified: &Arc<AtomicUsize>) -> App {
    let verified = verified.clone();
    App::new().with_mesa(Mesa::new()).with_koji(Koji::new()).with_verifier(move |token: String| {
        verified.fetch_add(1, Ordering::Relaxed);
        async move {
            let user = UserId::new(&token).map_err(|error| error.to_string())?;
            let identity = Identity::new(user);
            if token.starts_with("bad") { Err("no such token".to_owned()) } else { Ok(identity) }
        }
    })
}

async fn is_online(server: &TestServer, user: &str) -> bool {
    server.app.project(&ProjectId::new("p").unwrap()).is_user_online(user).await.unwrap()
}

fn strict() -> Limits {
    limits(|limits| limits.refused_tokens_per_min = Some(2))
}

#[tokio::test]
async fn a_mesa_client_logs_in_from_an_address_with_many_refused_tokens() {
    let verified = Arc::default();
    let server = TestServer::start(app_with_counter(&verified).with_limits(strict())).await;
    for number in 1..=10 {
        let mut bad = connect(&server).await;
        bad.send(&login_message("bad", true)).await;
        assert_eq!(bad.closed().await.0, 1008);
        let mut good = connect(&server).await;
        log_in(&mut good, "7").await;
        assert_eq!(verified.load(Ordering::Relaxed), 2 * number, "every token is verified");
    }
}

#[tokio::test]
async fn a_koji_client_is_identified_from_an_address_with_many_refused_tokens() {
    let verified = Arc::default();
    let server = TestServer::start(app_with_counter(&verified).with_limits(strict())).await;
    let mut bad = KojiPeer::join(&server, "projectId=p").await;
    for number in 1..=10 {
        bad.identify("bad").await;
        until("it is refused", async || verified.load(Ordering::Relaxed) == number).await;
    }
    let mut good = KojiPeer::join(&server, "projectId=p").await;
    good.identify("7").await;
    until("the user is online", async || is_online(&server, "7").await).await;
    let _token_in_the_uri = KojiPeer::join(&server, "projectId=p&authorization=8").await;
    until("the user is online", async || is_online(&server, "8").await).await;
}

#[tokio::test]
async fn a_missing_token_is_refused_without_limiting_its_address() {
    for data in [json!({}), json!(null), json!({ "token": 5 })] {
        let verified = Arc::default();
        let server = TestServer::start(app_with_counter(&verified).with_limits(strict())).await;
        for _ in 0..3 {
            let mut peer = connect(&server).await;
            peer.send(&json!({ "op": 2, "d": data })).await;
            assert_eq!(peer.closed().await.0, 1008, "{data}");
        }
        connect_as(&server, "7").await;
        assert_eq!(verified.load(Ordering::Relaxed), 1, "{data}");
    }
}

#[tokio::test]
async fn a_token_over_the_length_limit_is_refused_without_verification() {
    let verified = Arc::default();
    let limits = limits(|limits| limits.token_bytes_max = 100);
    let server = TestServer::start(app_with_counter(&verified).with_limits(limits)).await;
    let mut mesa = connect(&server).await;
    mesa.send(&login_message(&"x".repeat(101), true)).await;
    assert_eq!(mesa.closed().await.0, 1008);
    let long = "y".repeat(101);
    let mut koji = KojiPeer::join(&server, &format!("projectId=p&authorization={long}")).await;
    koji.identify(&long).await;
    koji.quiet().await;
    assert_eq!(verified.load(Ordering::Relaxed), 0);
    connect_as(&server, &"z".repeat(100)).await;
}

#[tokio::test]
async fn a_verifier_that_does_not_finish_in_time_refuses_the_token() {
    let limits = limits(|limits| limits.token_timeout = Duration::from_millis(1));
    let app = App::new().with_mesa(Mesa::new()).with_limits(limits);
    let app = app.with_verifier(async |_: String| pending::<Result<Identity, String>>().await);
    let server = TestServer::start(app).await;
    let mut peer = connect(&server).await;
    peer.send(&login_message("7", true)).await;
    assert_eq!(peer.closed().await.0, 1008);
}

/// Notifies a test when it is dropped.
struct Dropped(mpsc::Sender<()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.try_send(()).expect("the test has room");
    }
}

#[tokio::test]
async fn a_verification_and_the_tokens_behind_it_end_with_their_socket() {
    let (verified, (ended, mut ends)) = (Arc::new(AtomicUsize::new(0)), mpsc::channel(8));
    let count = verified.clone();
    let app = App::new().with_koji(Koji::new()).with_verifier(move |_: String| {
        count.fetch_add(1, Ordering::Relaxed);
        let dropped = Dropped(ended.clone());
        async move {
            let _dropped = dropped;
            pending::<Result<Identity, String>>().await
        }
    });
    let server = TestServer::start(app).await;
    let mut peer = KojiPeer::join(&server, "projectId=p").await;
    for _ in 0..5 {
        peer.identify("7").await;
    }
    peer.quiet().await;
    assert_eq!((verified.load(Ordering::Relaxed), ends.len()), (1, 0));
    drop(peer);
    soon("the verification ends", ends.recv()).await;
    until("the socket is removed", async || server.app.total_sockets().await.unwrap() == 0).await;
    assert_eq!(verified.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_closed_socket_leaves_no_task() {
    let settings = MesaSettings {
        authentication_required: true,
        authentication_timeout: Duration::from_secs(3600),
        ..MesaSettings::default()
    };
    let verify = async |token: String| {
        let expires = Some(SystemTime::now() + Duration::from_secs(3600));
        match &*token {
            "slow" => pending::<Result<Identity, String>>().await,
            user => Ok(Identity { expires, ..Identity::new(UserId::new(user).unwrap()) }),
        }
    };
    let app = App::new().with_mesa(Mesa::new().with_settings(settings)).with_koji(Koji::new());
    let server = TestServer::start(app.with_verifier(verify)).await;
    let tasks = || Handle::current().metrics().num_alive_tasks();
    connect_as(&server, "7").await.close().await;
    until("the socket is removed", async || server.app.total_sockets().await.unwrap() == 0).await;
    let before = tasks();
    for _ in 0..10 {
        let anonymous = connect(&server).await;
        let logged_in = connect_as(&server, "7").await;
        let mut slow = KojiPeer::join(&server, "projectId=p&authorization=slow").await;
        slow.quiet().await;
        for peer in [anonymous, logged_in, slow.peer] {
            peer.close().await;
        }
    }
    until("the tasks have ended", async || tasks() <= before).await;
}

/// The payload of the next frame, which answers a token.
async fn next_answer(peer: &mut KojiPeer) -> Value {
    loop {
        let frame = peer.next().await;
        match frame["eventName"].as_str() {
            Some("@@SWITCHBOARD/identified") => return frame["payload"].clone(),
            Some("@@KOJI_DISPATCH/CONNECTED_CLIENTS_CHANGED") => {}
            _ => panic!("{frame}"),
        }
    }
}

#[tokio::test]
async fn a_koji_client_receives_the_outcome_of_its_tokens_only_if_it_requests_it() {
    let limits = limits(|limits| limits.token_bytes_max = 100);
    let server = TestServer::start(app_with_counter(&Arc::default()).with_limits(limits)).await;
    let mut peer = KojiPeer::join(&server, "projectId=p&identify=answered&authorization=7").await;
    assert_eq!(next_answer(&mut peer).await, json!({ "user": "7" }));
    for (token, answer) in [
        (json!("bad"), json!({ "error": "verifier" })),
        (json!("a \"user\""), json!({ "user": "a \"user\"" })),
        (json!(5), json!({ "error": "no_token" })),
        (json!("x".repeat(101)), json!({ "error": "too_long" })),
    ] {
        peer.emit("@@KOJI_DISPATCH/IDENTIFY", json!({ "token": token })).await;
        assert_eq!(next_answer(&mut peer).await, answer, "{token}");
    }
    let mut original = KojiPeer::join(&server, "projectId=p&authorization=bad").await;
    original.identify("7").await;
    original.quiet().await;
}
