//! Sessions of crashed nodes: they are kept in Redis, and their clients resume them on other nodes.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard::access::AccessRequest;
use switchboard::backplane::Backplane;
use switchboard::{
    App, Data, HistoryLimits, Identity, Koji, ProjectId, Reply, ReplyError, Resuming, Socket, Target, UserId,
};
use switchboard_redis::{Options, Redis};
use switchboard_testkit::{Peer, RedisServer, TestServer};

use crate::support::{keys, options, run, until};

/// A served app and its connection. Dropping `redis` simulates a crash of the node.
struct AppNode {
    server: TestServer,
    redis: Redis,
}

/// Joins a room and remembers a value.
async fn enter(socket: Socket, Data(value): Data<String>) -> Result<(), ReplyError> {
    socket.join("#chat-1")?;
    socket.tag("*t")?;
    socket.login("ann")?;
    socket.remember("value", &value)?;
    Ok(())
}

async fn join(socket: Socket, Data(room): Data<String>) -> Result<Reply<bool>, ReplyError> {
    Ok(Reply(socket.join_as_client(&room)?))
}

async fn describe(socket: Socket) -> Reply<Value> {
    let (rooms, tags) = (socket.rooms(), socket.tags());
    let (user, value) = (socket.user(), socket.remembered::<String>("value"));
    Reply(json!({ "id": socket.id(), "rooms": rooms, "tags": tags, "user": user, "value": value }))
}

async fn verify(token: String) -> Result<Identity, String> {
    let user = token.strip_prefix("valid-").ok_or("not valid")?;
    Ok(Identity::new(UserId::new(user).map_err(|error| error.to_string())?))
}

fn app() -> App {
    let limits = HistoryLimits { messages_max: 1000, ..HistoryLimits::default() };
    let app = App::new().on("/enter", enter).on("/join", join).on("/describe", describe);
    app.with_resume(Resuming::default()).with_room_history("chat-*", limits)
}

impl AppNode {
    async fn start(redis: &RedisServer, app: App) -> Self {
        let options = Options { history: true, ..options(redis) };
        let redis = Redis::connect(options).await.expect("Redis answers");
        AppNode { server: TestServer::start(app.with_backplane(&redis)).await, redis }
    }

    /// Connects, perhaps with a ticket. Returns the data of `@session`.
    async fn connect(&self, path: &str, ticket: Option<&str>) -> (Peer, Value) {
        let protocols = format!("switchboard, ticket.{}", ticket.unwrap_or_default());
        let headers = [("sec-websocket-protocol", protocols.as_str())];
        let headers = if ticket.is_some() { &headers[..] } else { &[] };
        let mut peer =
            Peer::try_connect(&self.server.url(path), headers).await.expect("the handshake succeeds");
        let (event, data) = peer.next_event().await;
        assert_eq!(event, "@session");
        (peer, data)
    }

    /// A client with memberships and a remembered value, whose session is written to Redis.
    async fn member(&self) -> (Peer, Value) {
        let (mut peer, session) = self.connect("/?sb=1", None).await;
        peer.request("/enter", json!("kept")).await;
        self.server.app.settled().await;
        (peer, session)
    }

    async fn count(&self, target: Target) -> usize {
        let project = ProjectId::new("default").expect("the name is valid");
        self.redis.store().count(&project, &target).await.expect("the store replies")
    }
}

async fn two() -> (RedisServer, AppNode, AppNode) {
    let redis = RedisServer::start().await;
    let (one, two) = (AppNode::start(&redis, app()).await, AppNode::start(&redis, app()).await);
    (redis, one, two)
}

fn ticket(session: &Value) -> Option<&str> {
    session["ticket"].as_str()
}

fn room() -> Target {
    Target::room("chat-1").expect("the name is valid")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_of_a_crashed_node_is_resumed_on_another_with_all_that_it_had_and_its_missed_messages() {
    let (redis, one, two) = two().await;
    let (mut peer, session) = one.member().await;
    let before = peer.request("/describe", json!({})).await;
    one.server.app.to("#chat-1").emit("n", &1).expect("the names are valid");
    let position = peer.next().await["position"].clone();
    drop(one.redis);
    for n in 2..5 {
        two.server.app.to("#chat-1").emit("n", &n).expect("the names are valid");
    }
    // Comes back at once, long before the lease of the node expires.
    let (mut peer, resumed) = two.connect("/?sb=1", ticket(&session)).await;
    assert_eq!(resumed["resumed"], true, "{resumed}");
    peer.send(&json!({ "event": "@resume", "data": { "#chat-1": position } })).await;
    for n in 2..5 {
        let frame = peer.next().await;
        assert_eq!((&frame["data"], &frame["position"]["offset"]), (&json!(n), &json!(n)));
    }
    let (event, data) = peer.next_event().await;
    assert_eq!(
        (&*event, &data["rooms"]["#chat-1"]),
        ("@recovered", &json!({ "recovered": true, "count": 3 }))
    );
    let after = peer.request("/describe", json!({})).await;
    assert_ne!(after["id"], before["id"], "an id names its node");
    for name in ["rooms", "tags", "user", "value"] {
        assert_eq!(after[name], before[name], "{name}");
    }
    two.server.app.emit_to_user("ann", "mail", &5).expect("the names are valid");
    assert_eq!(peer.next_event().await, ("mail".to_owned(), json!(5)));
    until("the entries of the old session are removed", async || {
        two.count(Target::Everyone).await == 1
            && keys(&redis).await.iter().all(|key| !key.contains(":kept:of:"))
    })
    .await;
    assert_eq!((two.count(room()).await, two.count(Target::user("ann").unwrap()).await), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_clients_with_the_ticket_of_a_crashed_node_one_gets_the_session() {
    let (redis, one, two) = two().await;
    let three = AppNode::start(&redis, app()).await;
    let (_peer, session) = one.member().await;
    drop(one.redis);
    let takers = (0..12).map(|n| [&two, &three][n % 2].connect("/?sb=1", ticket(&session)));
    let outcomes = futures_util::future::join_all(takers).await;
    let resumed = outcomes.iter().filter(|(_, data)| data["resumed"] == true).count();
    assert_eq!(
        resumed,
        1,
        "{outcomes:?}",
        outcomes = outcomes.iter().map(|(_, data)| data).collect::<Vec<_>>()
    );
    for (_, data) in outcomes.iter().filter(|(_, data)| data["resumed"] == false) {
        assert!(["used", "expired"].contains(&data["reason"].as_str().unwrap()), "{data}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tickets_that_were_forged_used_or_issued_for_another_project_do_not_open_a_kept_session() {
    let (_redis, one, two) = two().await;
    let (peer, first) = one.member().await;
    drop(peer);
    // Resumed once on its node, so the first ticket is used.
    let (_peer, session) = one.connect("/?sb=1", ticket(&first)).await;
    assert_eq!(session["resumed"], true);
    one.server.app.settled().await;
    drop(one.redis);
    let mut forged = ticket(&session).unwrap().to_owned();
    let last = if forged.ends_with('A') { "Q" } else { "A" };
    forged.replace_range(forged.len() - 1.., last);
    for bad in [&*forged, ticket(&first).unwrap()] {
        let (mut other, refused) = two.connect("/?sb=1", Some(bad)).await;
        assert_eq!((&refused["resumed"], &refused["reason"]), (&json!(false), &json!("forged")), "{bad}");
        assert_eq!(other.request("/describe", json!({})).await["rooms"], json!([]));
    }
    let (_peer, resumed) = two.connect("/?sb=1", ticket(&session)).await;
    assert_eq!(resumed["resumed"], true, "the attempts have not harmed the session");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_session_that_nobody_resumes_ends_and_leaves_nothing_in_redis() {
    let redis = RedisServer::start().await;
    let short = || app().with_resume(Resuming::default().with_keep(Duration::from_secs(2)));
    let (one, two) = (AppNode::start(&redis, short()).await, AppNode::start(&redis, short()).await);
    let before = keys(&redis).await;
    let (_peer, session) = one.member().await;
    drop(one.redis);
    until("the session is kept", async || {
        keys(&redis).await.contains(&"switchboard:{default}:kept".to_owned())
    })
    .await;
    assert_eq!((two.count(room()).await, two.count(Target::Everyone).await), (1, 1), "it keeps its places");
    until("the session has ended", async || two.count(Target::Everyone).await == 0).await;
    until("nothing is left", async || {
        let left = keys(&redis).await.into_iter().filter(|key| !before.contains(key));
        let left: Vec<_> = left
            .filter(|key| [":dead:", ":lock", ":history:"].iter().all(|part| !key.contains(part)))
            .collect();
        left.is_empty()
    })
    .await;
    let (_peer, refused) = two.connect("/?sb=1", ticket(&session)).await;
    assert_eq!((&refused["resumed"], &refused["reason"]), (&json!(false), &json!("expired")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_bound_sessions_of_a_crashed_node_end_with_it() {
    let redis = RedisServer::start().await;
    let bounded = || app().with_resume(Resuming::default().with_sessions_max(3));
    let (one, two) = (AppNode::start(&redis, bounded()).await, AppNode::start(&redis, bounded()).await);
    let mut members = Vec::new();
    for _ in 0..10 {
        members.push(one.member().await);
    }
    drop(one.redis);
    until("the others have ended", async || two.count(Target::Everyone).await == 3).await;
    let mut resumed = 0;
    for (_, session) in &members {
        let (peer, data) = two.connect("/?sb=1", ticket(session)).await;
        resumed += usize::from(data["resumed"] == true);
        peer.close().await;
    }
    assert_eq!(resumed, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_without_a_ticket_are_removed_at_once_and_those_with_one_keep_their_places() {
    let (_redis, one, two) = two().await;
    let (_kept, _session) = one.member().await;
    let mut original = Peer::connect(&one.server.url("/")).await;
    original.request("/enter", json!("lost")).await;
    let (mut declined, _) = one.connect("/?sb=1", None).await;
    declined.request("/join", json!("#other")).await;
    declined.close().await;
    one.server.app.settled().await;
    until("two are there", async || two.count(room()).await == 2).await;
    drop(one.redis);
    until("one is left", async || two.count(room()).await == 1 && two.count(Target::Everyone).await == 1)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_lease_was_lost_holds_its_sessions_again() {
    let (redis, one, two) = two().await;
    let (mut peer, session) = one.member().await;
    let before = peer.request("/describe", json!({})).await;
    let leases: Vec<String> = run(&redis, &["ZRANGE", "switchboard:{*}:nodes", "0", "-1"]).await;
    let node = before["id"].as_str().unwrap();
    let lease = leases.iter().find(|lease| node.starts_with(&lease[..8])).expect("the node has a lease");
    let _: i64 = run(&redis, &["ZADD", "switchboard:{*}:nodes", "1", lease]).await;
    until("the session is kept", async || {
        run::<i64>(&redis, &["EXISTS", &format!("switchboard:{{default}}:dead:{lease}")]).await == 1
    })
    .await;
    until("its node holds it again", async || {
        let kept: i64 = run(&redis, &["HLEN", "switchboard:{default}:kept"]).await;
        let leases: Vec<String> = run(&redis, &["ZRANGE", "switchboard:{*}:nodes", "0", "-1"]).await;
        kept == 0 && leases.len() == 2 && !leases.contains(lease) && two.count(room()).await == 1
    })
    .await;
    assert_eq!(peer.request("/describe", json!({})).await, before);
    drop(peer);
    let (mut peer, resumed) = two.connect("/?sb=1", ticket(&session)).await;
    assert_eq!(resumed["resumed"], true, "its node hands it over");
    assert_eq!(peer.request("/describe", json!({})).await["rooms"], before["rooms"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_session_of_a_token_needs_a_valid_token_of_its_user_and_leaves_what_its_rights_do_not_allow() {
    let redis = RedisServer::start().await;
    let with_rights = |allowed: &'static str| {
        let rule = move |request: &AccessRequest<'_>| request.resource().to_string() == allowed;
        app().with_verifier(verify).with_access_rule(rule)
    };
    let (one, two) = (
        AppNode::start(&redis, with_rights("#any")).await,
        AppNode::start(&redis, with_rights("#other")).await,
    );
    let (mut peer, session) = one.connect("/?sb=1&token=valid-bob", None).await;
    assert_eq!(peer.next_event().await.0, "@identified");
    assert_eq!(peer.request("/join", json!("#any")).await, true);
    peer.request("/enter", json!("kept")).await;
    one.server.app.settled().await;
    drop(one.redis);
    for path in ["/?sb=1", "/?sb=1&token=valid-eve", "/?sb=1&token=bad"] {
        let (_peer, refused) = two.connect(path, ticket(&session)).await;
        assert_eq!((&refused["resumed"], &refused["reason"]), (&json!(false), &json!("token")), "{path}");
    }
    let (mut peer, resumed) = two.connect("/?sb=1&token=valid-bob", ticket(&session)).await;
    assert_eq!(resumed["resumed"], true);
    assert_eq!(peer.next_event().await.0, "@identified");
    let after = peer.request("/describe", json!({})).await;
    assert_eq!(
        (&after["rooms"], &after["tags"]),
        (&json!(["#chat-1"]), &json!(["*t"])),
        "made by the server"
    );
}

/// Connects a Koji client that understands sessions. Returns the payloads of its session and of CONNECTED.
async fn koji(node: &AppNode, ticket: Option<&str>) -> (Peer, Value, Value) {
    let protocols = format!("switchboard, ticket.{}", ticket.unwrap_or_default());
    let headers = [("sec-websocket-protocol", protocols.as_str())];
    let headers = if ticket.is_some() { &headers[..] } else { &[] };
    let url = node.server.url("/koji?projectId=p&maxConnectionsPerShard=2&sb=1");
    let mut peer = Peer::try_connect(&url, headers).await.expect("the handshake succeeds");
    let (mut session, mut connected) = (Value::Null, Value::Null);
    while session.is_null() || connected.is_null() {
        let mut frame = peer.next().await;
        let payload = frame["payload"].take();
        match frame["eventName"].as_str().expect("a name") {
            "@@SWITCHBOARD/session" => session = payload,
            "@@KOJI_DISPATCH/CONNECTED" => connected = payload,
            other => panic!("{other} comes first"),
        }
    }
    (peer, session, connected)
}

/// The next member list with so many clients: their names.
async fn names(peer: &mut Peer, count: usize) -> Vec<Value> {
    loop {
        let frame = peer.next().await;
        let list = frame["payload"]["connectedClients"].as_object().filter(|list| list.len() == count);
        let named = list.map(|list| list.values().map(|entry| entry["userInfo"]["name"].clone()).collect());
        if let Some(named) = named.filter(|named: &Vec<Value>| named.iter().all(Value::is_string)) {
            return named;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_koji_client_of_a_crashed_node_has_its_seat_on_a_full_shard_and_its_place_in_the_list() {
    let redis = RedisServer::start().await;
    let with_koji = || app().with_koji(Koji::new());
    let (one, two) = (AppNode::start(&redis, with_koji()).await, AppNode::start(&redis, with_koji()).await);
    let rename = async |peer: &mut Peer, name: &str| {
        let info = json!({ "eventName": "@@KOJI_DISPATCH/SET_USER_INFO", "payload": { "name": name } });
        peer.send(&info).await;
    };
    let (mut ann, session, connected) = koji(&one, None).await;
    rename(&mut ann, "Ann").await;
    let (mut bob, _, beside) = koji(&two, None).await;
    rename(&mut bob, "Bob").await;
    assert_eq!(connected["shardName"], beside["shardName"]);
    assert_eq!(names(&mut bob, 2).await, ["Ann", "Bob"]);
    one.server.app.settled().await;
    drop(one.redis);
    let key = "switchboard:{p}:kept";
    until("the session is kept", async || run::<i64>(&redis, &["EXISTS", key]).await == 1).await;
    let (_carl, _, elsewhere) = koji(&two, None).await;
    assert_ne!(elsewhere["shardName"], connected["shardName"], "the seat is taken");
    let (mut ann, resumed, again) = koji(&two, ticket(&session)).await;
    assert_eq!((&resumed["resumed"], &again["shardName"]), (&json!(true), &connected["shardName"]));
    assert_ne!(again["clientId"], connected["clientId"], "an id names its node");
    assert_eq!(names(&mut ann, 2).await, ["Ann", "Bob"], "in the order in which they came");
    let shard = again["shardName"].as_str().expect("a name");
    assert_eq!(run::<String>(&redis, &["HGET", "switchboard:{p}:seats:taken", shard]).await, "2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_session_takes_less_than_600_bytes_of_redis_beside_its_memberships() {
    const SESSIONS: usize = 300;
    let (redis, one, two) = two().await;
    let mut members = Vec::new();
    for _ in 0..SESSIONS {
        members.push(one.member().await);
    }
    drop(one.redis);
    let base = "switchboard:{default}:kept";
    until("all are kept", async || {
        run::<usize>(&redis, &["HLEN", base]).await == SESSIONS
            && two.count(Target::Everyone).await == SESSIONS
    })
    .await;
    let mut bytes = 0;
    for key in keys(&redis).await.iter().filter(|key| key.starts_with(base)) {
        bytes += run::<usize>(&redis, &["MEMORY", "USAGE", key, "SAMPLES", "0"]).await;
    }
    println!("{} bytes for each kept session", bytes / SESSIONS);
    assert!(bytes / SESSIONS < 600, "{} bytes", bytes / SESSIONS);
}
