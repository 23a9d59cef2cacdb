//! Rights that change while a client is connected: by other tokens, by expiry, by revocations, and by another rule.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use switchboard::access::{AccessRequest, Resource, Revoke, Rights, TokenId};
use switchboard::{App, Data, Identity, Koji, Reply, ReplyError, Socket, UserId};
use switchboard_testkit::{Peer, TestServer, until};

use crate::rights::join_as_client;

/// A token of the tests: `{"can":{…},"seconds":n,"id":"…"}`.
async fn verify(token: String) -> Result<Identity, String> {
    #[derive(serde::Deserialize)]
    struct Claims {
        can: Option<BTreeMap<String, String>>,
        seconds: Option<f64>,
        id: Option<String>,
    }
    let claims: Claims = serde_json::from_str(&token).map_err(|error| error.to_string())?;
    let rights = claims.can.map(|can| {
        Arc::new(
            Rights::new(can.iter().map(|(pattern, letters)| (pattern.as_str(), letters.as_str()))).unwrap(),
        )
    });
    let expires = claims.seconds.map(|seconds| SystemTime::now() + Duration::from_secs_f64(seconds));
    let token_id = claims.id.map(|id| TokenId::new(&id).unwrap());
    Ok(Identity { rights, expires, token_id, ..Identity::new(UserId::new("me").unwrap()) })
}

/// Everybody may join and send to `#news`.
fn news(request: &AccessRequest<'_>) -> bool {
    request.resource() == Resource::Room("news")
}

async fn send(socket: Socket, Data(room): Data<String>) -> Result<Reply<usize>, ReplyError> {
    Ok(Reply(socket.to(&room).including_self().as_client().emit("sent", &room)?))
}

/// Joins by the authority of the server.
async fn invite(socket: Socket, Data(room): Data<String>) -> Result<Reply<bool>, ReplyError> {
    Ok(Reply(socket.join(&room)?))
}

async fn leave(socket: Socket, Data(room): Data<String>) -> Result<Reply<bool>, ReplyError> {
    Ok(Reply(socket.leave(&room)?))
}

async fn rooms(socket: Socket) -> Reply<Vec<String>> {
    let mut rooms: Vec<String> = socket.rooms().iter().map(ToString::to_string).collect();
    rooms.sort();
    Reply(rooms)
}

fn app() -> App {
    App::new()
        .on("/join", join_as_client)
        .on("/invite", invite)
        .on("/leave", leave)
        .on("/send", send)
        .on("/rooms", rooms)
        .with_koji(Koji::new())
        .with_verifier(verify)
}

async fn show(peer: &mut Peer, token: Value) -> Value {
    peer.request("@identify", json!({ "token": token.to_string() })).await
}

#[tokio::test]
async fn a_token_that_expires_ends_the_memberships_that_only_it_gave_and_says_so() {
    let server = TestServer::start(app().with_access_rule(news)).await;
    let mut peer = Peer::connect(&server.url("/?sb=1")).await;
    let token = json!({ "can": { "#chat-*": "j", "#news": "j" }, "seconds": 1.5 });
    assert_eq!(show(&mut peer, token).await, json!({ "user": "me" }));
    for room in ["#chat-1", "#chat-2", "#news"] {
        assert_eq!(peer.request("/join", json!(room)).await, true);
    }
    assert_eq!(peer.request("/invite", json!("#lounge")).await, true);
    let left = json!({ "rooms": ["#chat-1", "#chat-2"], "tags": [], "reason": "expired" });
    assert_eq!(peer.next_event().await, ("@left".into(), left));
    assert_eq!(peer.request("/rooms", json!({})).await, json!(["#lounge", "#news"]));
    assert_eq!(peer.request("/join", json!("#chat-1")).await["code"], "forbidden");
}

#[tokio::test]
async fn a_narrower_token_ends_memberships_and_an_original_client_is_told_nothing() {
    let server = TestServer::start(app().with_access_rule(|_: &AccessRequest<'_>| false)).await;
    let mut peer = server.peer().await;
    show(&mut peer, json!({ "can": { "#*": "js" } })).await;
    peer.request("/join", json!("#a")).await;
    peer.request("/join", json!("#b")).await;
    // The answer is the next frame: nothing about the rooms precedes it.
    assert_eq!(show(&mut peer, json!({ "can": { "#a": "j" } })).await, json!({ "user": "me" }));
    assert_eq!(peer.request("/rooms", json!({})).await, json!(["#a"]));
    assert_eq!(peer.request("/send", json!("#a")).await["code"], "forbidden");
    assert_eq!(show(&mut peer, json!({})).await, json!({ "user": "me" }));
    assert_eq!(peer.request("/rooms", json!({})).await, json!([]));
}

#[tokio::test]
async fn a_refused_token_changes_nothing() {
    let server = TestServer::start(app().with_access_rule(|_: &AccessRequest<'_>| false)).await;
    let mut peer = server.peer().await;
    show(&mut peer, json!({ "can": { "#a": "j" } })).await;
    peer.request("/join", json!("#a")).await;
    for token in ["nonsense", ""] {
        let answer = peer.request("@identify", json!({ "token": token })).await;
        assert_eq!(answer["code"], "verifier", "{answer}");
    }
    assert_eq!(peer.request("@identify", json!({})).await["code"], "no_token");
    assert_eq!(peer.request("/rooms", json!({})).await, json!(["#a"]));
}

#[tokio::test]
async fn a_membership_by_the_server_does_not_depend_on_rights_in_either_order() {
    let server = TestServer::start(app().with_access_rule(|_: &AccessRequest<'_>| false)).await;
    let mut peer = server.peer().await;
    show(&mut peer, json!({ "can": { "#*": "j" } })).await;
    // Joined for the client first and then by the server, and the other way round.
    for (first, second, room) in [("/join", "/invite", "#a"), ("/invite", "/join", "#b")] {
        assert_eq!(peer.request(first, json!(room)).await, true);
        assert_eq!(peer.request(second, json!(room)).await, false);
    }
    // Joined for the client, left, and joined by the server.
    peer.request("/join", json!("#c")).await;
    peer.request("/leave", json!("#c")).await;
    peer.request("/invite", json!("#c")).await;
    show(&mut peer, json!({})).await;
    assert_eq!(peer.request("/rooms", json!({})).await, json!(["#a", "#b", "#c"]));
}

#[tokio::test]
async fn another_rule_ends_memberships_of_connected_clients() {
    let server = TestServer::start(app().with_access_rule(news)).await;
    let mut peer = Peer::connect(&server.url("/?sb=1")).await;
    peer.request("/join", json!("#news")).await;
    let address = server.url("/?projectId=default&shardName=own&sb=1");
    server.app.set_access_rule(None);
    let mut koji = Peer::connect(&address).await;
    assert_eq!(koji.next().await["eventName"], "@@KOJI_DISPATCH/CONNECTED");
    koji.answer_ping().await;
    server.app.set_access_rule(Some(Arc::new(|_: &AccessRequest<'_>| false)));
    let left = json!({ "rooms": ["#news"], "tags": [], "reason": "rule" });
    assert_eq!(peer.next_event().await, ("@left".into(), left));
    let notice = loop {
        let frame = koji.next().await;
        if frame["eventName"] == "@@SWITCHBOARD/left" {
            break frame["payload"].clone();
        }
    };
    assert_eq!(notice, json!({ "shardName": "own", "reason": "rule" }));
    assert_eq!(koji.closed().await.0, 1008);
}

#[tokio::test]
async fn a_koji_client_whose_token_expires_leaves_its_shard() {
    let server = TestServer::start(app().with_access_rule(|_: &AccessRequest<'_>| false)).await;
    let token = json!({ "can": { "shard:own": "js" }, "seconds": 1.0 }).to_string();
    let token: String = token.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let address = format!("/?projectId=default&shardName=own&authorization={token}");
    let mut original = Peer::connect(&server.url(&address)).await;
    assert_eq!(original.next().await["eventName"], "@@KOJI_DISPATCH/CONNECTED");
    // Without `p` there is no list, and an original client receives no notice.
    let (code, reason) = original.closed().await;
    assert_eq!(code, 1008);
    assert!(reason.contains("expired"), "{reason}");
    until("the seat is free", async || server.app.shards().await.unwrap().is_empty()).await;
}

/// A generator of numbers that gives the same ones in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

const ROOMS: [&str; 5] = ["#a", "#ab", "#b", "#news", "#x"];
const CLAIMS: [&str; 6] = [
    r##"{"can":{}}"##,
    r##"{"can":{"#a*":"js"}}"##,
    r##"{"can":{"#a":"j","#b":"s"}}"##,
    r##"{"can":{"#ab":"js","#x":"j"}}"##,
    r##"{"can":{"*":"jshp"}}"##,
    r##"{}"##,
];

/// What the claim or the rule allows.
fn is_given(claim: &str, letter: char, room: &str) -> bool {
    let claim: Value = serde_json::from_str(claim).unwrap();
    let claims = claim["can"].as_object().into_iter().flatten();
    let by_claim = claims.into_iter().any(|(pattern, letters)| {
        let matches = match pattern.strip_suffix('*') {
            Some(prefix) => room.starts_with(prefix),
            None => pattern == room,
        };
        matches && letters.as_str().unwrap().contains(letter)
    });
    by_claim || room == "#news"
}

fn with_id(claim: &str, id: &str) -> Value {
    let mut token: Value = serde_json::from_str(claim).unwrap();
    token["id"] = id.into();
    token
}

#[tokio::test]
async fn no_sequence_of_tokens_and_revocations_leaves_a_membership_or_a_delivery_that_none_gave() {
    let server = TestServer::start(app().with_access_rule(news)).await;
    for seed in 0..20 {
        let (mut numbers, mut peer) = (Numbers(seed), server.peer().await);
        let (mut claim, mut token_id) = ("{}", String::new());
        let mut revoked: Vec<(&str, String)> = Vec::new();
        let (mut by_server, mut by_client) = (BTreeSet::<&str>::new(), BTreeSet::<&str>::new());
        for step in 0..60 {
            let room = ROOMS[numbers.below(ROOMS.len())];
            let context = format!("seed {seed}, step {step}, {claim}, {room}");
            match numbers.below(7) {
                0 => {
                    claim = CLAIMS[numbers.below(CLAIMS.len())];
                    token_id = format!("{seed}-{step}");
                    let token = with_id(claim, &token_id);
                    assert_eq!(show(&mut peer, token).await, json!({ "user": "me" }), "{context}");
                    by_client.retain(|room| is_given(claim, 'j', room));
                }
                1 => {
                    let joined = peer.request("/join", json!(room)).await;
                    assert_eq!(
                        joined["code"] != "forbidden",
                        is_given(claim, 'j', room),
                        "{context}: {joined}"
                    );
                    if is_given(claim, 'j', room) && !by_server.contains(room) {
                        by_client.insert(room);
                    }
                }
                2 => {
                    peer.request("/invite", json!(room)).await;
                    by_client.remove(room);
                    by_server.insert(room);
                }
                3 => {
                    peer.request("/leave", json!(room)).await;
                    by_client.remove(room);
                    by_server.remove(room);
                }
                4 if !token_id.is_empty() => {
                    let gone = server.app.revoke(Revoke::token(&token_id).unwrap()).await.unwrap();
                    assert_eq!(gone.sockets_here, 1, "{context}");
                    revoked.push((claim, std::mem::take(&mut token_id)));
                    claim = "{}";
                    by_client.retain(|room| is_given(claim, 'j', room));
                }
                5 if !revoked.is_empty() => {
                    let (claim, id) = &revoked[numbers.below(revoked.len())];
                    assert_eq!(show(&mut peer, with_id(claim, id)).await["code"], "revoked", "{context}");
                }
                _ => {
                    let is_member = by_client.contains(room) || by_server.contains(room);
                    peer.send(&json!({ "event": "/send", "data": room, "ackId": "s" })).await;
                    let may_send = is_given(claim, 's', room);
                    if may_send && is_member {
                        assert_eq!(peer.next_event().await, ("sent".into(), json!(room)), "{context}");
                    }
                    let reply = peer.next().await["data"].take();
                    assert_eq!(reply["code"] != "forbidden", may_send, "{context}: {reply}");
                }
            }
            let expected: BTreeSet<&str> = by_client.union(&by_server).copied().collect();
            assert_eq!(peer.request("/rooms", json!({})).await, json!(expected), "{context}");
        }
    }
}

#[tokio::test]
async fn the_right_of_an_open_app_is_what_a_claim_says() {
    let server = TestServer::start(app()).await;
    let mut peer = server.peer().await;
    assert_eq!(peer.request("/join", json!("#any")).await, true, "without a claim everything is allowed");
    show(&mut peer, json!({ "can": { "#a": "j" } })).await;
    assert_eq!(peer.request("/rooms", json!({})).await, json!([]));
    assert_eq!(peer.request("/join", json!("#any")).await["code"], "forbidden");
}
