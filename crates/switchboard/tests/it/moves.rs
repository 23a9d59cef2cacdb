//! Sessions that are resumed on another node.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use switchboard::access::{AccessRequest, Resource};
use switchboard::backplane::LocalBus;
use switchboard::{App, Data, Koji, ReplyError, Request, Socket};
use switchboard_testkit::{KojiPeer, Peer, TestServer, soon, until};
use tokio::sync::mpsc;

use crate::resume::{app, connect, connect_with, ticket};

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3600);

/// Nodes on one bus.
async fn nodes(apps: impl IntoIterator<Item = App>) -> Vec<TestServer> {
    let apps: Vec<App> = apps.into_iter().collect();
    let mut nodes = Vec::new();
    for (app, bus) in apps.iter().zip(LocalBus::connected(apps.len())) {
        nodes.push(TestServer::start(app.clone().with_bus(Arc::new(bus))).await);
    }
    nodes
}

async fn sockets(node: &TestServer) -> usize {
    node.app.hub().index().len()
}

async fn until_detached(node: &TestServer) {
    until("the session is detached", async || {
        node.app.drain_status().connections == 0 && sockets(node).await == 1
    })
    .await;
}

#[tokio::test]
async fn a_session_is_resumed_on_another_node_with_its_rooms_tags_user_and_remembered_values() {
    let nodes = nodes([app(), app()]).await;
    let (mut peer, session) = connect(&nodes[0], "/?sb=1").await;
    peer.request("/enter", json!("kept")).await;
    let before = peer.request("/describe", json!({})).await;
    let id = before["id"].as_str().unwrap().parse().unwrap();
    nodes[0].app.socket(id).unwrap().login("ann").unwrap();
    drop(peer);
    until_detached(&nodes[0]).await;
    let (mut peer, resumed) = connect_with(&nodes[1], "/?sb=1", ticket(&session)).await;
    assert_eq!(resumed["resumed"], true);
    assert_eq!((sockets(&nodes[0]).await, sockets(&nodes[1]).await), (0, 1));
    let after = peer.request("/describe", json!({})).await;
    assert_ne!(after["id"], before["id"], "an id names its node");
    let kept = json!({ "rooms": ["#r"], "tags": ["*t"], "user": "ann", "value": "kept" });
    for (name, value) in kept.as_object().unwrap() {
        assert_eq!(after[name], *value, "{name}");
    }
    nodes[0].app.to("#r").emit("news", &1).unwrap();
    nodes[0].app.emit_to_user("ann", "mail", &2).unwrap();
    assert_eq!(peer.next_event().await, ("news".to_owned(), json!(1)));
    assert_eq!(peer.next_event().await, ("mail".to_owned(), json!(2)));
    // And back, with the ticket of the second node.
    drop(peer);
    until_detached(&nodes[1]).await;
    let (mut peer, resumed) = connect_with(&nodes[0], "/?sb=1", ticket(&resumed)).await;
    assert_eq!(resumed["resumed"], true);
    assert_eq!(peer.request("/describe", json!({})).await["rooms"], json!(["#r"]));
}

#[tokio::test]
async fn a_draining_node_hands_an_open_connection_over_after_everything_that_was_sent_on_it() {
    let nodes = nodes([app(), app()]).await;
    let (mut old, session) = connect(&nodes[0], "/?sb=1").await;
    old.request("/enter", json!("kept")).await;
    nodes[0].app.drain(LONG);
    assert_eq!(old.next_event().await.0, "@goaway");
    for number in 0..100 {
        nodes[0].app.to("#r").emit("news", &number).unwrap();
    }
    let moving = connect_with(&nodes[1], "/?sb=1", ticket(&session));
    let leaving = async {
        for number in 0..100 {
            assert_eq!(old.next_event().await, ("news".to_owned(), json!(number)));
        }
        assert_eq!(old.closed().await.0, 1012);
    };
    let ((mut new, resumed), ()) = tokio::join!(moving, leaving);
    assert_eq!(resumed["resumed"], true);
    assert_eq!(new.request("/describe", json!({})).await["value"], "kept");
    assert_eq!(sockets(&nodes[0]).await, 0);
}

#[tokio::test]
async fn a_stopping_node_hands_sessions_over_and_stops_when_all_have_gone() {
    let nodes = nodes([app(), app()]).await;
    let (mut old, session) = connect(&nodes[0], "/?sb=1").await;
    old.request("/enter", json!("kept")).await;
    let stopping = switchboard::Stopping::default().with_window(LONG);
    let moving = async {
        assert_eq!(old.next_event().await.0, "@goaway");
        let (moved, closed) = tokio::join!(connect_with(&nodes[1], "/?sb=1", ticket(&session)), old.closed());
        assert_eq!(closed.0, 1012);
        moved
    };
    let stopped = soon("the stop", nodes[0].app.close_within(stopping));
    let ((mut new, resumed), ()) = tokio::join!(moving, stopped);
    assert_eq!(resumed["resumed"], true);
    assert_eq!(new.request("/describe", json!({})).await["rooms"], json!(["#r"]));
}

#[tokio::test]
async fn of_many_takers_on_all_nodes_one_gets_the_session() {
    let nodes = nodes([app(), app(), app()]).await;
    let (mut peer, session) = connect(&nodes[0], "/?sb=1").await;
    peer.request("/enter", json!("kept")).await;
    drop(peer);
    let takers = (0..12).map(|taker| connect_with(&nodes[taker % 3], "/?sb=1", ticket(&session)));
    let outcomes = futures_util::future::join_all(takers).await;
    let resumed = outcomes.iter().filter(|(_, data)| data["resumed"] == true).count();
    assert_eq!(resumed, 1);
    for (_, data) in outcomes.iter().filter(|(_, data)| data["resumed"] == false) {
        let reason = data["reason"].as_str().expect("a reason");
        assert!(["used", "expired", "elsewhere"].contains(&reason), "{data}");
    }
    let in_room: usize = nodes.iter().map(|node| node.app.to("#r").local().emit("count", &1).unwrap()).sum();
    assert_eq!(in_room, 1);
}

#[tokio::test]
async fn a_session_of_a_token_moves_only_with_a_token_of_the_same_user() {
    let nodes = nodes([app(), app()]).await;
    let (mut peer, session) = connect(&nodes[0], "/?sb=1&token=ann").await;
    assert_eq!(peer.next_event().await.0, "@identified");
    peer.request("/enter", json!("kept")).await;
    drop(peer);
    until_detached(&nodes[0]).await;
    for path in ["/?sb=1", "/?sb=1&token=eve"] {
        let (_peer, refused) = connect_with(&nodes[1], path, ticket(&session)).await;
        assert_eq!((&refused["resumed"], &refused["reason"]), (&json!(false), &json!("token")), "{path}");
    }
    let (mut peer, resumed) = connect_with(&nodes[1], "/?sb=1&token=ann", ticket(&session)).await;
    assert_eq!(resumed["resumed"], true, "a refused attempt does not use the ticket up");
    assert_eq!(peer.next_event().await, ("@identified".to_owned(), json!({ "user": "ann" })));
    let described = peer.request("/describe", json!({})).await;
    assert_eq!((&described["user"], &described["rooms"]), (&json!("ann"), &json!(["#r"])));
}

#[tokio::test]
async fn forged_used_and_foreign_tickets_of_other_nodes_give_a_new_session() {
    let nodes = nodes([app(), app()]).await;
    let (mut peer, session) = connect(&nodes[0], "/?sb=1").await;
    let mut forged = ticket(&session).to_owned();
    let last = if forged.ends_with('A') { "Q" } else { "A" };
    forged.replace_range(forged.len() - 1.., last);
    let (_other, refused) = connect_with(&nodes[1], "/?sb=1", &forged).await;
    assert_eq!(refused["reason"], "forged");
    peer.quiet().await;
    drop(peer);
    let (_first, resumed) = connect_with(&nodes[1], "/?sb=1", ticket(&session)).await;
    assert_eq!(resumed["resumed"], true);
    // The node has no socket any more, and without a shared store nobody knows that.
    let (_second, again) = connect_with(&nodes[1], "/?sb=1", ticket(&session)).await;
    assert_eq!((&again["resumed"], &again["reason"]), (&json!(false), &json!("elsewhere")));
}

#[tokio::test]
async fn a_reply_that_is_computed_while_the_client_is_away_is_delivered_on_the_other_node() {
    let (finish, finished) = mpsc::channel::<()>(1);
    let finished = Arc::new(tokio::sync::Mutex::new(finished));
    let (replied, mut has_replied) = mpsc::channel::<()>(1);
    let slow = move |_: Request| {
        let (finished, replied) = (finished.clone(), replied.clone());
        async move {
            finished.lock().await.recv().await;
            replied.try_send(()).unwrap();
            switchboard::Reply("computed")
        }
    };
    let nodes = nodes([app().on("/slow", slow), app()]).await;
    let (mut peer, session) = connect(&nodes[0], "/?sb=1").await;
    peer.send(&json!({ "event": "/slow", "data": {}, "ackId": "7" })).await;
    peer.quiet().await;
    drop(peer);
    until_detached(&nodes[0]).await;
    finish.send(()).await.unwrap();
    soon("the handler ends", has_replied.recv()).await.unwrap();
    tokio::task::yield_now().await;
    let (mut peer, resumed) = connect_with(&nodes[1], "/?sb=1", ticket(&session)).await;
    assert_eq!(resumed["resumed"], true);
    assert_eq!(peer.next().await, json!({ "type": "ack", "ackId": "7", "data": "computed" }));
}

/// Joins as the client, which needs the right to.
async fn enter_as_client(socket: Socket, Data(room): Data<String>) -> Result<(), ReplyError> {
    socket.join_as_client(&room)?;
    Ok(())
}

#[tokio::test]
async fn rooms_that_the_client_may_no_longer_be_in_do_not_move() {
    let everything = |_: &AccessRequest<'_>| true;
    let not_the_vault = |request: &AccessRequest<'_>| !matches!(request.resource(), Resource::Room(room) if room.contains("vault"));
    let nodes = nodes([
        app().on("/as-client", enter_as_client).with_access_rule(everything),
        app().with_access_rule(not_the_vault),
    ])
    .await;
    let (mut peer, session) = connect(&nodes[0], "/?sb=1").await;
    for room in ["#vault", "#hall"] {
        peer.request("/as-client", json!(room)).await;
    }
    assert_eq!(peer.request("/describe", json!({})).await["rooms"], json!(["#vault", "#hall"]));
    drop(peer);
    let (mut peer, resumed) = connect_with(&nodes[1], "/?sb=1", ticket(&session)).await;
    assert_eq!(resumed["resumed"], true);
    assert_eq!(peer.request("/describe", json!({})).await["rooms"], json!(["#hall"]));
}

#[tokio::test]
async fn hooks_of_both_nodes_see_the_old_socket_end_and_the_new_one_resume() {
    let (calls, mut called) = mpsc::channel(100);
    let recording = |node: usize| {
        let calls = calls.clone();
        let hook = move |request: Request, Data(data): Data<Value>| {
            let reason = data["reason"].as_str().unwrap_or_default().to_owned();
            calls.try_send((node, request.event().to_owned(), reason)).unwrap();
            std::future::ready(())
        };
        let events = ["@connection", "@detached", "@resume", "@disconnect"];
        events.into_iter().fold(app(), |app, event| app.on(event, hook.clone()))
    };
    let nodes = nodes([recording(0), recording(1)]).await;
    let (peer, session) = connect(&nodes[0], "/?sb=1").await;
    drop(peer);
    until_detached(&nodes[0]).await;
    let (_peer, resumed) = connect_with(&nodes[1], "/?sb=1", ticket(&session)).await;
    assert_eq!(resumed["resumed"], true);
    for (node, event, reason) in [
        (0, "@connection", ""),
        (0, "@detached", ""),
        (0, "@disconnect", "the session has moved to another node"),
        (1, "@resume", ""),
        (1, "@connection", ""),
    ] {
        let call = soon("a hook call", called.recv()).await.unwrap();
        assert_eq!(call, (node, event.to_owned(), reason.to_owned()));
    }
}

#[tokio::test]
async fn a_resume_hook_of_the_new_node_can_refuse() {
    let refusing = app().on("@resume", async || Err::<(), _>(ReplyError::unauthorized()));
    let nodes = nodes([app(), refusing]).await;
    let (mut peer, session) = connect(&nodes[0], "/?sb=1").await;
    peer.request("/enter", json!("kept")).await;
    drop(peer);
    let (mut peer, refused) = connect_with(&nodes[1], "/?sb=1", ticket(&session)).await;
    assert_eq!((&refused["resumed"], &refused["reason"]), (&json!(false), &json!("refused")));
    assert_eq!(peer.request("/describe", json!({})).await["rooms"], json!([]));
    assert_eq!((sockets(&nodes[0]).await, sockets(&nodes[1]).await), (0, 1));
}

#[tokio::test]
async fn a_koji_client_takes_its_shard_and_user_info_to_another_node_where_it_has_a_new_id() {
    let nodes = nodes([app().with_koji(Koji::new()), app().with_koji(Koji::new())]).await;
    let mut koji = KojiPeer::join(&nodes[0], "projectId=p&shardName=s&sb=1").await;
    let session = loop {
        let frame = koji.next().await;
        if frame["eventName"] == "@@SWITCHBOARD/session" {
            break frame["payload"].clone();
        }
    };
    koji.set_user_info(json!({ "name": "Ann" })).await;
    koji.quiet().await;
    let (id, shard) = (koji.id.clone(), koji.shard.clone());
    drop(koji);
    until_detached(&nodes[0]).await;
    let protocols = format!("switchboard, ticket.{}", ticket(&session));
    let headers = [("sec-websocket-protocol", protocols.as_str())];
    // The session knows its shard.
    let url = nodes[1].url("/?projectId=p&shardName=other&sb=1");
    let mut peer = Peer::try_connect(&url, &headers).await.unwrap();
    let (resumed, connected) = (peer.next().await, peer.next().await);
    assert_eq!(resumed["payload"]["resumed"], true, "{resumed}");
    assert_eq!(connected["payload"]["shardName"], shard);
    assert_ne!(connected["payload"]["clientId"], id, "an id names its node");
    peer.answer_ping().await;
    let list = loop {
        let frame = peer.next().await;
        if let Some(list) = frame["payload"]["connectedClients"].as_object() {
            break list.clone();
        }
    };
    let entries: Vec<_> = list.values().map(|entry| &entry["userInfo"]["name"]).collect();
    assert_eq!(entries, ["Ann"]);
    assert_eq!((sockets(&nodes[0]).await, sockets(&nodes[1]).await), (0, 1));
}

#[tokio::test]
async fn a_ticket_of_a_node_that_does_not_answer_gives_a_new_session() {
    let mut nodes = nodes([app(), app()]).await;
    let (peer, session) = connect(&nodes[0], "/?sb=1").await;
    drop(peer);
    let mut gone = nodes.remove(0);
    gone.begin_stop();
    gone.stopped().await;
    let (mut peer, refused) = connect_with(&nodes[0], "/?sb=1", ticket(&session)).await;
    assert_eq!((&refused["resumed"], &refused["reason"]), (&json!(false), &json!("elsewhere")));
    assert_eq!(peer.request("/describe", json!({})).await["rooms"], json!([]));
}
