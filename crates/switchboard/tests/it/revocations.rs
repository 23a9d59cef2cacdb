//! Revoked tokens: they are refused, and open sockets lose them on every node.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use switchboard::access::{AccessRequest, Revoke, RevokeError, Rights, TokenId};
use switchboard::backplane::{BackplaneError, BackplaneFuture, LocalBus, Revocation, RevocationStore};
use switchboard::{App, Identity, Koji, Limits, ProjectId, UserId};
use switchboard_testkit::{Peer, TestServer, until};

use crate::rights::join_as_client;

/// A token of the tests: `user:id:second of issue`; it allows every room and shard. An empty part means none.
async fn verify(token: String) -> Result<Identity, String> {
    let mut parts = token.split(':');
    let mut part = || parts.next().filter(|part| !part.is_empty()).map(str::to_owned);
    let user = UserId::new(&part().ok_or("no user")?).map_err(|error| error.to_string())?;
    let token_id = part().map(|id| TokenId::new(&id).unwrap());
    let issued = part().map(|second| UNIX_EPOCH + Duration::from_secs(second.parse().unwrap()));
    let rights = Rights::new([("#*", "jshp"), ("shard:*", "jshp")]).unwrap();
    Ok(Identity { token_id, issued, rights: Some(Arc::new(rights)), ..Identity::new(user) })
}

fn app() -> App {
    App::new()
        .on("/join", join_as_client)
        .with_koji(Koji::new())
        .with_verifier(verify)
        .with_access_rule(|_: &AccessRequest<'_>| false)
}

async fn two_nodes() -> [TestServer; 2] {
    let mut nodes = Vec::new();
    for bus in LocalBus::connected(2) {
        nodes.push(TestServer::start(app().with_bus(Arc::new(bus))).await);
    }
    nodes.try_into().unwrap_or_else(|_| panic!("two nodes"))
}

/// Connects a client that understands notices, logs it in, and joins `#room`.
async fn log_in(server: &TestServer, token: &str) -> Peer {
    let mut peer = Peer::connect(&server.url("/?sb=1")).await;
    let user = token.split(':').next().unwrap();
    assert_eq!(show(&mut peer, token).await, json!({ "user": user }));
    assert_eq!(peer.request("/join", json!("#room")).await, true);
    peer
}

async fn show(peer: &mut Peer, token: &str) -> Value {
    peer.request("@identify", json!({ "token": token })).await
}

/// Asserts that the next frame says that the client has left the room because of a revocation.
async fn assert_revoked(peer: &mut Peer) {
    let left = json!({ "rooms": ["#room"], "tags": [], "reason": "revoked" });
    assert_eq!(peer.next_event().await, ("@left".into(), left));
    assert_eq!(peer.request("/join", json!("#room")).await["code"], "forbidden");
}

#[tokio::test]
async fn a_revoked_token_is_refused_and_its_sockets_lose_it_on_every_node() {
    let [one, two] = two_nodes().await;
    let (mut near, mut far) = (log_in(&one, "ann:a").await, log_in(&two, "ann:a").await);
    let mut other = log_in(&two, "ann:b").await;
    let mut later = two.peer().await;
    let revoked = one.app.revoke(Revoke::token("a").unwrap()).await.unwrap();
    assert_eq!((revoked.sockets_here, revoked.stored_in, revoked.is_complete), (1, None, true));
    for peer in [&mut near, &mut far] {
        assert_revoked(peer).await;
    }
    for peer in [&mut near, &mut far, &mut later] {
        assert_eq!(show(peer, "ann:a").await["code"], "revoked");
    }
    other.quiet().await;
    assert_eq!(one.app.user_socket_ids("ann").await.unwrap().len(), 0, "the other one is on the other node");
    assert_eq!(two.app.user_socket_ids("ann").await.unwrap().len(), 1);
    assert_eq!(show(&mut near, "ann:c").await, json!({ "user": "ann" }));
}

#[tokio::test]
async fn a_client_without_rooms_learns_that_its_login_has_ended() {
    let without_claim = async |token: String| verify(token).await.map(|id| Identity { rights: None, ..id });
    for app in [App::new().with_verifier(verify), App::new().with_verifier(without_claim)] {
        let server = TestServer::start(app).await;
        let mut peer = Peer::connect(&server.url("/?sb=1")).await;
        assert_eq!(show(&mut peer, "ann:a").await, json!({ "user": "ann" }));
        server.app.revoke(Revoke::token("a").unwrap()).await.unwrap();
        let left = json!({ "rooms": [], "tags": [], "reason": "revoked" });
        assert_eq!(peer.next_event().await, ("@left".into(), left));
    }
}

#[tokio::test]
async fn tokens_of_a_user_are_revoked_if_they_were_issued_before_the_time() {
    let [one, two] = two_nodes().await;
    let mut old = log_in(&two, "ann::99").await;
    let mut undated = log_in(&two, "ann").await;
    let (mut new, mut bob) = (log_in(&two, "ann::100").await, log_in(&two, "bob::99").await);
    let revoke =
        Revoke { issued_before: Some(UNIX_EPOCH + Duration::from_secs(100)), ..Revoke::user("ann").unwrap() };
    assert_eq!(one.app.revoke(revoke).await.unwrap().sockets_here, 0);
    assert_revoked(&mut old).await;
    assert_revoked(&mut undated).await;
    for peer in [&mut new, &mut bob] {
        peer.quiet().await;
    }
    assert_eq!(show(&mut old, "ann::99").await["code"], "revoked");
    assert_eq!(show(&mut old, "ann::100").await, json!({ "user": "ann" }));
    // By default, everything until now.
    one.app.revoke(Revoke::user("ann").unwrap()).await.unwrap();
    assert_revoked(&mut new).await;
    let next_hour = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 3600;
    assert_eq!(show(&mut new, &format!("ann::{next_hour}")).await, json!({ "user": "ann" }));
}

#[tokio::test]
async fn a_revocation_concerns_one_project_and_ends_with_its_tokens() {
    let [one, two] = two_nodes().await;
    let mut peer = log_in(&two, "ann:a").await;
    let elsewhere = one.app.project(&ProjectId::new("other").unwrap());
    elsewhere.revoke(Revoke::token("a").unwrap()).await.unwrap();
    elsewhere.revoke(Revoke::user("ann").unwrap()).await.unwrap();
    peer.quiet().await;
    assert_eq!(show(&mut peer, "ann:a").await, json!({ "user": "ann" }));
    let until_soon = SystemTime::now() + Duration::from_millis(300);
    let brief = Revoke { until: Some(until_soon), ..Revoke::token("a").unwrap() };
    one.app.revoke(brief).await.unwrap();
    assert_revoked(&mut peer).await;
    until("the revocation is forgotten", async || show(&mut peer, "ann:a").await == json!({ "user": "ann" }))
        .await;
}

#[tokio::test]
async fn a_koji_client_whose_token_is_revoked_is_closed_if_only_it_gave_the_shard() {
    let [one, two] = two_nodes().await;
    let address = "/?projectId=default&shardName=own&sb=1&authorization=ann%3Aa";
    let mut koji = Peer::connect(&two.url(address)).await;
    assert_eq!(koji.next().await["eventName"], "@@KOJI_DISPATCH/CONNECTED");
    one.app.revoke(Revoke::token("a").unwrap()).await.unwrap();
    let notice = loop {
        let frame = koji.next().await;
        if frame["eventName"] == "@@SWITCHBOARD/left" {
            break frame["payload"].clone();
        }
    };
    assert_eq!(notice, json!({ "shardName": "own", "reason": "revoked" }));
    assert_eq!(koji.closed().await.0, 1008);
    let mut again = Peer::connect(&two.url(address)).await;
    let (code, reason) = again.closed().await;
    assert_eq!((code, reason.contains("revoked")), (1008, true), "{reason}");
}

#[tokio::test]
async fn revocations_beyond_the_bound_are_refused_and_expired_ones_make_room() {
    let mut limits = Limits::default();
    limits.revocations_max = 2;
    let server = TestServer::start(app().with_limits(limits)).await;
    let expiry = SystemTime::now() + Duration::from_millis(200);
    let first = Revoke { until: Some(expiry), ..Revoke::token("a").unwrap() };
    server.app.revoke(first).await.unwrap();
    server.app.revoke(Revoke::user("ann").unwrap()).await.unwrap();
    server.app.revoke(Revoke::user("ann").unwrap()).await.expect("it is known already");
    until("the first has expired", async || match server.app.revoke(Revoke::token("b").unwrap()).await {
        Err(error) => {
            assert_eq!(error, RevokeError::TooMany { max: 2 });
            false
        }
        Ok(_) => true,
    })
    .await;
    let two = Revoke { tokens: vec!["b".try_into().unwrap(), "c".try_into().unwrap()], ..Revoke::default() };
    assert_eq!(server.app.revoke(two).await, Err(RevokeError::TooMany { max: 2 }), "all or none");
    let mut peer = server.peer().await;
    assert_eq!(show(&mut peer, "eve:c").await, json!({ "user": "eve" }));
}

#[tokio::test]
async fn a_revocation_of_nothing_or_of_expired_tokens_is_an_error() {
    let server = TestServer::start(app()).await;
    assert_eq!(server.app.revoke(Revoke::default()).await, Err(RevokeError::Nothing));
    let past = Revoke { until: Some(SystemTime::now()), ..Revoke::token("a").unwrap() };
    assert_eq!(server.app.revoke(past).await, Err(RevokeError::Expired));
    assert!(Revoke::token("").is_err() && Revoke::user(&"x".repeat(257)).is_err());
}

/// A store that fails while it is switched off.
#[derive(Default)]
struct Store {
    is_down: AtomicBool,
    stored: Mutex<Vec<Revocation>>,
    failures: AtomicUsize,
}

impl Store {
    fn check(&self) -> Result<(), BackplaneError> {
        match self.is_down.load(Ordering::SeqCst) {
            true => {
                self.failures.fetch_add(1, Ordering::SeqCst);
                Err(BackplaneError("switched off".into()))
            }
            false => Ok(()),
        }
    }
}

impl RevocationStore for Store {
    fn location(&self) -> &'static str {
        "memory of the test"
    }

    fn save<'a>(&'a self, revocations: &'a [Revocation]) -> BackplaneFuture<'a, ()> {
        Box::pin(async move {
            self.check()?;
            self.stored.lock().unwrap().extend_from_slice(revocations);
            Ok(())
        })
    }

    fn load(&self) -> BackplaneFuture<'_, Vec<Revocation>> {
        Box::pin(async move {
            self.check()?;
            Ok(self.stored.lock().unwrap().clone())
        })
    }
}

#[tokio::test]
async fn a_revocation_that_cannot_be_stored_holds_at_once_and_is_stored_later() {
    let store = Arc::new(Store::default());
    let server = TestServer::start(app().with_revocation_store(store.clone())).await;
    let mut peer = log_in(&server, "ann:a").await;
    store.is_down.store(true, Ordering::SeqCst);
    let revoked = server.app.revoke(Revoke::token("a").unwrap()).await.unwrap();
    assert_eq!((revoked.sockets_here, revoked.is_complete), (1, false));
    assert_eq!(revoked.stored_in, Some("memory of the test"));
    assert_revoked(&mut peer).await;
    let failures = store.failures.load(Ordering::SeqCst);
    until("the node tries again", async || store.failures.load(Ordering::SeqCst) > failures).await;
    store.is_down.store(false, Ordering::SeqCst);
    until("it is stored", async || store.stored.lock().unwrap().len() == 1).await;
    assert_eq!(show(&mut peer, "ann:a").await["code"], "revoked");
}

#[tokio::test]
async fn a_node_that_starts_applies_stored_revocations_also_to_tokens_it_has_accepted() {
    let store = Arc::new(Store::default());
    let first = TestServer::start(app().with_revocation_store(store.clone())).await;
    first.app.revoke(Revoke::token("a").unwrap()).await.unwrap();
    store.is_down.store(true, Ordering::SeqCst);
    let second = TestServer::start(app().with_revocation_store(store.clone())).await;
    let mut peer = log_in(&second, "ann:a").await;
    store.is_down.store(false, Ordering::SeqCst);
    assert_revoked(&mut peer).await;
    assert_eq!(show(&mut peer, "ann:a").await["code"], "revoked");
}
