//! Sessions that outlive their connections, and tickets.

mod recovery;

use std::time::Duration;

use serde_json::{Value, json};
use switchboard::{
    App, Data, HistoryLimits, Identity, Koji, Mesa, ProjectId, Reply, ReplyError, Request, Resuming, Socket,
    UserId,
};
use switchboard_testkit::{KojiPeer, Peer, TestServer, soon, until};
use tokio::sync::mpsc;

use self::recovery::with_history;
use crate::support::verify;

/// Joins the room `#r` and remembers a value.
async fn enter(socket: Socket, Data(value): Data<String>) -> Result<(), ReplyError> {
    socket.join("#r")?;
    socket.tag("*t")?;
    socket.remember("value", &value)?;
    Ok(())
}

async fn describe(socket: Socket) -> Reply<Value> {
    let (rooms, tags) = (socket.rooms(), socket.tags());
    let (user, value) = (socket.user(), socket.remembered::<String>("value"));
    Reply(json!({ "id": socket.id(), "rooms": rooms, "tags": tags, "user": user, "value": value }))
}

pub(crate) fn app() -> App {
    App::new()
        .on("/enter", enter)
        .on("/describe", describe)
        .with_verifier(verify)
        .with_resume(Resuming::default())
}

/// Connects and returns the data of `@session`, which is the first frame.
pub(crate) async fn connect(server: &TestServer, path: &str) -> (Peer, Value) {
    let mut peer = Peer::connect(&server.url(path)).await;
    let (event, data) = peer.next_event().await;
    assert_eq!(event, "@session");
    (peer, data)
}

/// Connects with a ticket.
pub(crate) async fn connect_with(server: &TestServer, path: &str, ticket: &str) -> (Peer, Value) {
    let protocols = format!("switchboard, ticket.{ticket}");
    let headers = [("sec-websocket-protocol", protocols.as_str())];
    let mut peer = Peer::try_connect(&server.url(path), &headers).await.unwrap();
    let (event, data) = peer.next_event().await;
    assert_eq!(event, "@session");
    (peer, data)
}

pub(crate) fn ticket(session: &Value) -> &str {
    session["ticket"].as_str().expect("a session has a ticket")
}

/// Waits until the number of detached sessions is as expected.
async fn until_detached(server: &TestServer, count: usize) {
    until("sessions are detached", async || {
        let sockets = server.app.all_socket_ids().await.unwrap();
        let sockets = sockets.into_iter().filter_map(|id| server.app.socket(id));
        sockets.filter(Socket::is_detached).count() == count
    })
    .await;
}

#[tokio::test]
async fn a_session_is_resumed_with_its_id_rooms_tags_user_and_remembered_values() {
    let server = TestServer::start(app()).await;
    let (mut peer, session) = connect(&server, "/?sb=1&token=ann").await;
    assert_eq!((&session["resumed"], &session["seconds"]), (&json!(false), &json!(60)));
    assert_eq!(peer.next_event().await.0, "@identified");
    peer.request("/enter", json!("kept")).await;
    let before = peer.request("/describe", json!({})).await;
    assert_eq!((&before["rooms"], &before["user"]), (&json!(["#r"]), &json!("ann")));
    drop(peer);
    let (mut peer, resumed) = connect_with(&server, "/?sb=1", ticket(&session)).await;
    assert_eq!(resumed["resumed"], true);
    assert_ne!(ticket(&resumed), ticket(&session));
    assert_eq!(peer.request("/describe", json!({})).await, before);
    server.app.to("#r").emit("news", &1).unwrap();
    assert_eq!(peer.next_event().await, ("news".to_owned(), json!(1)));
}

#[tokio::test]
async fn a_session_is_resumed_while_the_server_still_believes_in_its_old_connection() {
    let server = TestServer::start(app()).await;
    let (mut old, session) = connect(&server, "/?sb=1").await;
    old.request("/enter", json!("kept")).await;
    let before = old.request("/describe", json!({})).await;
    let (mut new, resumed) = connect_with(&server, "/?sb=1", ticket(&session)).await;
    assert_eq!(resumed["resumed"], true);
    assert_eq!(old.closed().await.0, 1006);
    assert_eq!(new.request("/describe", json!({})).await, before);
}

#[tokio::test]
async fn of_two_clients_with_one_ticket_one_gets_the_session_and_the_other_a_new_one() {
    let server = TestServer::start(app()).await;
    let (peer, session) = connect(&server, "/?sb=1").await;
    drop(peer);
    let takers = [0; 8].map(|_| connect_with(&server, "/?sb=1", ticket(&session)));
    let outcomes = futures_util::future::join_all(takers).await;
    let resumed = outcomes.iter().filter(|(_, data)| data["resumed"] == true).count();
    assert_eq!(resumed, 1);
    for (_, data) in outcomes.iter().filter(|(_, data)| data["resumed"] == false) {
        assert_eq!(data["reason"], "used");
    }
    let (_peer, again) = connect_with(&server, "/?sb=1", ticket(&session)).await;
    assert_eq!((&again["resumed"], &again["reason"]), (&json!(false), &json!("used")));
}

#[tokio::test]
async fn forged_and_expired_tickets_give_a_new_session_and_leave_the_old_one_alone() {
    let server = TestServer::start(app()).await;
    let (mut peer, session) = connect(&server, "/?sb=1").await;
    peer.request("/enter", json!("kept")).await;
    let mut forged = ticket(&session).to_owned();
    let last = if forged.ends_with('A') { "Q" } else { "A" };
    forged.replace_range(forged.len() - 1.., last);
    for bad in ["x", "", &forged, &"A".repeat(70), &"A".repeat(4000)] {
        let (mut other, refused) = connect_with(&server, "/?sb=1", bad).await;
        assert_eq!((&refused["resumed"], &refused["reason"]), (&json!(false), &json!("forged")), "{bad}");
        assert_eq!(other.request("/describe", json!({})).await["rooms"], json!([]));
    }
    peer.quiet().await;
    peer.close().await;
    until("the session has ended", async || !server.app.to("#r").emit("x", &1).is_ok_and(|n| n > 0)).await;
    let (_peer, refused) = connect_with(&server, "/?sb=1", ticket(&session)).await;
    assert_eq!(refused["reason"], "expired");
}

#[tokio::test]
async fn a_ticket_of_another_server_is_forged() {
    let (one, other) = (TestServer::start(app()).await, TestServer::start(app()).await);
    let (_peer, session) = connect(&one, "/?sb=1").await;
    let (_peer, refused) = connect_with(&other, "/?sb=1", ticket(&session)).await;
    assert_eq!(refused["reason"], "forged");
}

#[tokio::test]
async fn a_session_with_a_user_is_not_resumed_with_the_token_of_another_or_after_its_token_expired() {
    let server = TestServer::start(app()).await;
    let (mut peer, session) = connect(&server, "/?sb=1&token=ann").await;
    assert_eq!(peer.next_event().await.0, "@identified");
    drop(peer);
    until_detached(&server, 1).await;
    let (mut eve, refused) = connect_with(&server, "/?sb=1&token=eve", ticket(&session)).await;
    assert_eq!(refused["reason"], "token");
    assert_eq!(eve.next_event().await, ("@identified".to_owned(), json!({ "user": "eve" })));
    let (mut ann, resumed) = connect_with(&server, "/?sb=1&token=ann", ticket(&session)).await;
    assert_eq!(resumed["resumed"], true, "a refused attempt does not use the ticket up");
    assert_eq!(ann.next_event().await, ("@identified".to_owned(), json!({ "user": "ann" })));

    let verifier = async |token: String| {
        let mut identity = Identity::new(UserId::new(&token)?);
        identity.expires = Some(std::time::SystemTime::now() + Duration::from_millis(1500));
        Ok::<_, switchboard::NameError>(identity)
    };
    let server = TestServer::start(app().with_verifier(verifier)).await;
    let (mut peer, session) = connect(&server, "/?sb=1&token=ann").await;
    assert_eq!(peer.next_event().await.0, "@identified");
    drop(peer);
    until_detached(&server, 1).await;
    until("the token expires", async || {
        let ids = server.app.all_socket_ids().await.unwrap();
        ids.into_iter().filter_map(|id| server.app.socket(id)).all(|socket| socket.user().is_none())
    })
    .await;
    let (_peer, refused) = connect_with(&server, "/?sb=1", ticket(&session)).await;
    assert_eq!((&refused["resumed"], &refused["reason"]), (&json!(false), &json!("token")));
}

/// An app that records the calls of its hooks: name, code and reason.
fn recording(app: App) -> (App, mpsc::Receiver<(String, Value, Value)>) {
    let (calls, called) = mpsc::channel(100);
    let hook = move |request: Request, Data(data): Data<Value>| {
        let (code, reason) = (data["code"].clone(), data["reason"].clone());
        calls.try_send((request.event().to_owned(), code, reason)).unwrap();
        std::future::ready(())
    };
    let events = ["@connection", "@detached", "@resume", "@disconnect"];
    (events.into_iter().fold(app, |app, event| app.on(event, hook.clone())), called)
}

#[tokio::test]
async fn hooks_run_when_a_session_is_detached_resumed_and_closed() {
    let (app, mut called) = recording(app());
    let server = TestServer::start(app).await;
    let mut next = async || soon("a hook call", called.recv()).await.unwrap();
    let (peer, session) = connect(&server, "/?sb=1").await;
    drop(peer);
    assert_eq!(next().await, ("@connection".to_owned(), json!(null), json!(null)));
    assert_eq!(next().await, ("@detached".to_owned(), json!(1006), json!(null)));
    let (mut peer, _) = connect_with(&server, "/?sb=1", ticket(&session)).await;
    assert_eq!(next().await, ("@resume".to_owned(), json!(null), json!(null)));
    peer.send_close(1000).await;
    assert_eq!(next().await, ("@disconnect".to_owned(), json!(1000), json!("")));
}

#[tokio::test]
async fn a_session_that_nobody_resumes_in_time_ends() {
    let keep = Duration::from_millis(300);
    let (app, mut called) = recording(app().with_resume(Resuming::default().with_keep(keep)));
    let server = TestServer::start(app).await;
    let mut next = async || soon("a hook call", called.recv()).await.unwrap();
    let (peer, session) = connect(&server, "/?sb=1").await;
    drop(peer);
    assert_eq!(next().await.0, "@connection");
    assert_eq!(next().await.0, "@detached");
    let end = ("@disconnect".to_owned(), json!(1006), json!("the session was not resumed"));
    assert_eq!(next().await, end);
    let (_peer, refused) = connect_with(&server, "/?sb=1", ticket(&session)).await;
    assert_eq!((&refused["resumed"], &refused["reason"]), (&json!(false), &json!("expired")));
}

#[tokio::test]
async fn a_resume_hook_can_refuse_and_its_changes_and_events_reach_the_client() {
    let resume = async |socket: Socket| {
        if socket.is_in("#r") {
            return Err(ReplyError::unauthorized());
        }
        socket.join("#other")?;
        socket.emit("welcome", "back")?;
        Ok(())
    };
    let server = TestServer::start(app().on("@resume", resume)).await;
    let (mut peer, session) = connect(&server, "/?sb=1").await;
    peer.quiet().await;
    drop(peer);
    let (mut peer, resumed) = connect_with(&server, "/?sb=1", ticket(&session)).await;
    assert_eq!(resumed["resumed"], true);
    assert_eq!(peer.next_event().await, ("welcome".to_owned(), json!("back")));
    assert_eq!(peer.request("/describe", json!({})).await["rooms"], json!(["#other"]));
    peer.request("/enter", json!("x")).await;
    drop(peer);
    let (mut peer, refused) = connect_with(&server, "/?sb=1", ticket(&resumed)).await;
    assert_eq!((&refused["resumed"], &refused["reason"]), (&json!(false), &json!("refused")));
    assert_eq!(peer.request("/describe", json!({})).await["rooms"], json!([]));
    assert_eq!(server.app.all_socket_ids().await.unwrap().len(), 1, "the refused session has ended");
}

#[tokio::test]
async fn a_close_by_either_side_ends_the_session_and_a_kick_ends_a_detached_one() {
    let server = TestServer::start(app().on("/kick", async |socket: Socket| socket.close(4000, "out"))).await;
    for code in [1000, 1001, 4001] {
        let (mut peer, session) = connect(&server, "/?sb=1").await;
        peer.send_close(code).await;
        peer.closed().await;
        until("the session ends", async || server.app.all_socket_ids().await.unwrap().is_empty()).await;
        let (peer, refused) = connect_with(&server, "/?sb=1", ticket(&session)).await;
        assert_eq!(refused["reason"], "expired", "{code}");
        peer.close().await;
    }
    let (mut peer, session) = connect(&server, "/?sb=1").await;
    peer.emit("/kick", json!({})).await;
    assert_eq!(peer.closed().await.0, 4000);
    drop(peer);
    until("the session ends", async || server.app.all_socket_ids().await.unwrap().is_empty()).await;
    assert_eq!(connect_with(&server, "/?sb=1", ticket(&session)).await.1["reason"], "expired");

    let (mut peer, session) = connect(&server, "/?sb=1").await;
    let id = peer.request("/describe", json!({})).await["id"].as_str().unwrap().parse().unwrap();
    let detached = server.app.socket(id).unwrap();
    drop(peer);
    until("the session is detached", async || detached.is_detached()).await;
    assert!(detached.emit("missed", &1).is_err());
    detached.close(4000, "out");
    until("the session ends", async || server.app.socket(detached.id()).is_none()).await;
    assert_eq!(connect_with(&server, "/?sb=1", ticket(&session)).await.1["reason"], "expired");
}

#[tokio::test]
async fn a_reply_that_is_computed_while_the_client_is_away_is_delivered_when_it_resumes() {
    let (finish, finished) = mpsc::channel::<()>(1);
    let finished = std::sync::Arc::new(tokio::sync::Mutex::new(finished));
    let slow = move |_: Request| {
        let finished = finished.clone();
        async move {
            finished.lock().await.recv().await;
            Reply("computed")
        }
    };
    let server = TestServer::start(app().on("/slow", slow)).await;
    let (mut peer, session) = connect(&server, "/?sb=1").await;
    peer.send(&json!({ "event": "/slow", "data": {}, "ackId": "7" })).await;
    peer.quiet().await;
    drop(peer);
    until_detached(&server, 1).await;
    finish.send(()).await.unwrap();
    let (mut peer, resumed) = connect_with(&server, "/?sb=1", ticket(&session)).await;
    assert_eq!(resumed["resumed"], true);
    assert_eq!(peer.next().await, json!({ "type": "ack", "ackId": "7", "data": "computed" }));
}

#[tokio::test]
async fn at_the_bound_a_session_ends_with_its_connection() {
    let server = TestServer::start(app().with_resume(Resuming::default().with_sessions_max(1))).await;
    let (first, kept) = connect(&server, "/?sb=1").await;
    let (second, lost) = connect(&server, "/?sb=1").await;
    drop(first);
    until_detached(&server, 1).await;
    drop(second);
    until("the second session ends", async || server.app.all_socket_ids().await.unwrap().len() == 1).await;
    assert_eq!(connect_with(&server, "/?sb=1", ticket(&lost)).await.1["reason"], "expired");
    assert_eq!(connect_with(&server, "/?sb=1", ticket(&kept)).await.1["resumed"], true);
}

#[tokio::test]
async fn a_client_that_resumes_again_and_again_keeps_one_session_and_disturbs_nobody() {
    let server = TestServer::start(app()).await;
    let (mut bystander, _) = connect(&server, "/?sb=1").await;
    bystander.request("/enter", json!("b")).await;
    let (mut peer, mut session) = connect(&server, "/?sb=1").await;
    for round in 0..100 {
        if round % 2 == 0 {
            drop(peer);
        }
        (peer, session) = connect_with(&server, "/?sb=1", ticket(&session)).await;
        assert_eq!(session["resumed"], true, "{round}");
    }
    assert_eq!(server.app.all_socket_ids().await.unwrap().len(), 2);
    server.app.to("#r").emit("news", &1).unwrap();
    assert_eq!(bystander.next_event().await.0, "news");
    peer.quiet().await;
}

#[tokio::test]
async fn without_resume_and_for_original_clients_nothing_changes() {
    let with_ticket = [("sec-websocket-protocol", "switchboard, ticket.AAAA")];
    let mesa = || app().with_mesa(Mesa::new());
    for (app, path, headers) in [
        (App::new(), "/?sb=1", &[][..]),
        (app(), "/", &with_ticket),
        (app(), "/?sb=2", &with_ticket),
        (app(), "/?sb=1&resume=0", &[]),
    ] {
        let server = TestServer::start(app).await;
        let mut peer = Peer::try_connect(&server.url(path), headers).await.unwrap();
        peer.quiet().await;
        drop(peer);
        until("the session ends", async || server.app.all_socket_ids().await.unwrap().is_empty()).await;
    }
    let server = TestServer::start(mesa()).await;
    let mut peer = Peer::try_connect(&server.url("/mesa?sb=1"), &with_ticket).await.unwrap();
    assert_eq!(peer.next().await["op"], 10);
    peer.silent().await.unwrap();
}

#[tokio::test]
async fn a_ticket_at_a_server_that_keeps_no_sessions_is_answered() {
    let server = TestServer::start(App::new()).await;
    let (mut peer, session) = connect_with(&server, "/?sb=1", "AAAA").await;
    assert_eq!(session, json!({ "resumed": false, "reason": "off" }));
    peer.quiet().await;
}

#[tokio::test]
async fn a_stop_ends_detached_sessions() {
    let (calls, mut called) = mpsc::channel(100);
    let hook = move || {
        calls.try_send(()).unwrap();
        std::future::ready(())
    };
    let server = TestServer::start(app().on("@disconnect", hook)).await;
    let (peer, _) = connect(&server, "/?sb=1").await;
    drop(peer);
    until_detached(&server, 1).await;
    server.stopped().await;
    called.try_recv().expect("the session has ended");
}

/// A Koji client that understands tickets: its first two frames, in their order.
async fn koji(server: &TestServer, ticket: Option<&str>) -> (Peer, [Value; 2]) {
    let protocols = ticket.map(|ticket| format!("switchboard, ticket.{ticket}")).unwrap_or_default();
    let headers = [("sec-websocket-protocol", protocols.as_str())];
    let url = server.url("/koji?projectId=p&shardName=chat-s&sb=1");
    let headers = if ticket.is_some() { &headers[..] } else { &[] };
    let mut peer = Peer::try_connect(&url, headers).await.unwrap();
    let frames = [peer.next().await, peer.next().await];
    (peer, frames)
}

#[tokio::test]
async fn a_koji_client_resumes_with_its_id_and_seat_and_its_missed_messages() {
    let server = TestServer::start(with_history(app()).with_koji(Koji::new())).await;
    let (mut peer, [connected, session]) = koji(&server, None).await;
    assert_eq!(connected["eventName"], "@@KOJI_DISPATCH/CONNECTED");
    assert_eq!(session["eventName"], "@@SWITCHBOARD/session");
    assert_eq!(session["payload"]["resumed"], false);
    let mut other = KojiPeer::join(&server, "projectId=p&shardName=chat-s").await;
    let listed = other.list_of(2).await;
    other.emit("n", json!({ "n": 1 })).await;
    assert_eq!(other.next_event().await.0, "n", "its own event");
    let position = loop {
        let frame = peer.next().await;
        if frame["eventName"] == "n" {
            break frame["position"].clone();
        }
    };
    let id = connected["payload"]["clientId"].as_str().unwrap().parse().unwrap();
    let socket = server.app.project(&ProjectId::new("p").unwrap()).socket(id).unwrap();
    drop(peer);
    until("the session is detached", async || socket.is_detached()).await;
    other.emit("n", json!({ "n": 2 })).await;
    assert_eq!(other.next_event().await.0, "n", "its own event");
    let (mut peer, [session, again]) = koji(&server, session["payload"]["ticket"].as_str()).await;
    assert_eq!((&session["payload"]["resumed"], &again["payload"]), (&json!(true), &connected["payload"]));
    let positions = json!({ "#chat-s": position });
    peer.send(&json!({ "eventName": "@@SWITCHBOARD/resume", "payload": positions })).await;
    let (mut missed, mut has_list) = (Vec::new(), false);
    loop {
        let frame = peer.next().await;
        match frame["eventName"].as_str().unwrap() {
            "n" => missed.push(frame["payload"]["n"].clone()),
            "@@SWITCHBOARD/recovered" => {
                assert_eq!(frame["payload"]["rooms"]["#chat-s"], json!({ "recovered": true, "count": 1 }));
                break;
            }
            _ => has_list = true,
        }
    }
    assert_eq!(missed, [2]);
    while !has_list {
        has_list =
            peer.next().await["payload"]["connectedClients"].as_object().is_some_and(|list| list.len() == 2);
    }
    peer.send(&json!({ "eventName": "hi", "payload": {} })).await;
    let (event, payload) = other.next_event().await;
    assert_eq!((event.as_str(), &payload["__clientId"]), ("hi", &connected["payload"]["clientId"]));
    assert!(listed.as_object().is_some_and(|list| list.len() == 2));
}
