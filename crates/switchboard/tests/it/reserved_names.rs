//! Names that a protocol reserves for the server do not reach its clients, from any sender.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use switchboard::backplane::{InboxLimits, LocalBus};
use switchboard::{App, EmitError, Koji, Mesa, Payload, Reply, Socket, Target};
use switchboard_disk::DiskInbox;
use switchboard_testkit::{KojiPeer, Peer, TestServer};

use crate::support::{connect_as, redelivered, verify};

fn app() -> App {
    App::new()
        .with_koji(Koji::new())
        .with_mesa(Mesa::new())
        .with_verifier(verify)
        .on("/join", async |socket: Socket| socket.join("#s").map(Reply))
        .on("/login", async |socket: Socket, user: Payload| {
            socket.login(&user.to_text().unwrap_or_default()).map(Reply)
        })
}

async fn two_nodes() -> [TestServer; 2] {
    let mut nodes = Vec::new();
    for bus in LocalBus::connected(2) {
        nodes.push(TestServer::start(app().with_bus(Arc::new(bus))).await);
    }
    nodes.try_into().unwrap_or_else(|_| panic!("two nodes"))
}

async fn in_room(node: &TestServer) -> Peer {
    let mut peer = node.peer().await;
    assert_eq!(peer.request("/join", json!({})).await, true);
    peer
}

async fn on_shard(node: &TestServer) -> KojiPeer {
    KojiPeer::join(node, "projectId=default&shardName=s").await
}

fn withheld(node: &TestServer) -> u64 {
    node.app.hub().stats().reserved.load(Ordering::Relaxed)
}

#[tokio::test]
async fn emit_clients_receive_no_system_events_of_koji_clients() {
    let [one, two] = two_nodes().await;
    let (mut near, mut far) = (in_room(&one).await, in_room(&two).await);
    let (mut ann, mut bob) = (on_shard(&one).await, on_shard(&two).await);
    one.app.settled().await;
    two.app.settled().await;
    let names = ["@disconnect", "@error", "@any", "@reconnect", "@mention", "@@x"];
    for name in names {
        ann.emit(name, json!([])).await;
    }
    ann.emit("chat", json!([1])).await;
    for peer in [&mut near, &mut far] {
        assert_eq!(peer.next_event().await, ("chat".into(), json!([1])));
    }
    for node in [&one, &two] {
        assert_eq!(withheld(node), names.len() as u64);
    }
    // Koji clients have no such system events, so the names are theirs.
    for name in names {
        assert_eq!(bob.next_event().await, (name.into(), json!([])));
    }
}

#[tokio::test]
async fn mesa_clients_receive_no_operations_of_the_server_from_koji_clients() {
    let [one, two] = two_nodes().await;
    let mut seven = connect_as(&two, "7").await;
    let mut ann = on_shard(&one).await;
    two.app.settled().await;
    for name in ["@op/5/DISCONNECT_CLIENT", "@op/10", "@op/22", "@op/1", "@op/+2", "@op/011"] {
        ann.emit_to(name, json!({}), json!(["7"])).await;
    }
    ann.emit_to("@op/7/OWN", json!({}), json!(["7"])).await;
    assert_eq!(seven.next().await["op"], 7, "other operations are the application's");
    seven.silent().await.unwrap();
    assert_eq!(withheld(&two), 6);
    let user = Target::user("7").unwrap();
    one.app.to(user).emit("@op/22", &json!({})).unwrap();
    assert_eq!(seven.next().await, json!({ "op": 22, "d": {} }), "backends may send every operation");
}

#[tokio::test]
async fn an_application_cannot_send_reserved_names_either() {
    let server = TestServer::start(app()).await;
    let (mut emit, mut koji) = (in_room(&server).await, on_shard(&server).await);
    for name in ["@@KOJI_DISPATCH/CONNECTED", "@@SWITCHBOARD/session"] {
        assert_eq!(server.app.to("#s").emit(name, &json!({})).unwrap(), 0, "{name}");
    }
    assert_eq!(server.app.to("#s").emit("@error", &json!({})).unwrap(), 1, "to the Koji client");
    assert_eq!(koji.next_event().await.0, "@error");
    for socket in server.app.hub().members(server.app.project_id(), &Target::room("s").unwrap().into()) {
        let socket = server.app.socket(socket.id).unwrap();
        let name = if socket.shard().is_some() { "@@KOJI_DISPATCH/CONNECTED" } else { "@disconnect" };
        assert!(matches!(socket.emit(name, &()), Err(EmitError::Reserved(own)) if own == name));
    }
    koji.quiet().await;
    emit.quiet().await;
}

#[tokio::test]
async fn a_stored_message_with_a_reserved_name_waits_for_a_client_that_may_receive_it() {
    let inbox = Arc::new(DiskInbox::in_memory(InboxLimits::default()));
    let server = TestServer::start(app().with_inbox(inbox)).await;
    let dispatch = async |event: &str, n: usize| {
        let user = server.app.to(Target::user("7").unwrap());
        user.dispatch(event, &n).await.unwrap();
    };
    dispatch("@error", 1).await;
    dispatch("N", 2).await;
    let mut emit = server.peer().await;
    emit.send(&json!({ "event": "/login", "data": "7" })).await;
    assert_eq!(emit.next_event().await, ("N".into(), json!(2)));
    dispatch("@disconnect", 3).await;
    dispatch("N", 4).await;
    assert_eq!(emit.next_event().await, ("N".into(), json!(4)));
    emit.silent().await.unwrap();
    drop(emit);
    let mut mesa = connect_as(&server, "7").await;
    let expected: [Value; 2] = [
        json!({ "op": 0, "d": 1, "t": "@error", "s": 1 }),
        json!({ "op": 0, "d": 3, "t": "@disconnect", "s": 2 }),
    ];
    for message in expected {
        assert_eq!(mesa.next().await, message);
    }
    dispatch("N", 5).await;
    assert_eq!(mesa.next().await["d"], redelivered(5, 0)["d"]);
}
