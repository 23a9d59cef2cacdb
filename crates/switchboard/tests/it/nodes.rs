//! Several nodes on one bus: sends, remote calls, and commands.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use switchboard::backplane::{
    Bus, Content, IfUnreached, LocalBus, NodeId, Publication, PublishError, Receiver,
};
use switchboard::{
    App, Audience, CommandError, Identity, JoinError, Koji, Limits, MembershipError, NodeError, ProjectId,
    RequestError, SocketId, TagName, Target, UserId,
};
use switchboard_testkit::{KojiPeer, Peer, TestServer};

use crate::app;

/// Two connected nodes; `make` creates the app of each.
async fn two_of(make: impl Fn() -> App) -> (TestServer, TestServer) {
    let mut nodes = Vec::new();
    for bus in LocalBus::connected(2) {
        nodes.push(TestServer::start(make().with_bus(Arc::new(bus))).await);
    }
    let [one, two] = nodes.try_into().unwrap_or_else(|_| panic!("two nodes"));
    (one, two)
}

async fn two() -> (TestServer, TestServer) {
    two_of(app).await
}

/// A new peer of a node, and its id.
async fn peer_of(node: &TestServer) -> (Peer, SocketId) {
    let before = node.app.all_socket_ids().await.unwrap();
    let mut peer = node.peer().await;
    peer.quiet().await;
    let mut now = node.app.all_socket_ids().await.unwrap().into_iter();
    (peer, now.find(|id| !before.contains(id)).expect("the new socket is known"))
}

/// Replies to the next frame, which must be a request, and returns it.
async fn reply_to_next(peer: &mut Peer, data: Value) -> Value {
    let question = peer.next().await;
    peer.send(&json!({ "type": "ack", "ackId": question["ackId"], "data": data })).await;
    question
}

#[tokio::test]
async fn sends_reach_the_sockets_of_other_nodes_once() {
    let (one, two) = two().await;
    let (mut near, mut far) = (one.peer().await, two.peer().await);
    near.request("/join", json!("r")).await;
    far.request("/join", json!("r")).await;
    let far_id = two.app.all_socket_ids().await.unwrap()[0];
    two.app.set_user_online("7", far_id).await.unwrap();
    two.app.settled().await;

    assert_eq!(
        near.request("/send", json!(["#r", "over"])).await,
        0,
        "the other members are on another node"
    );
    assert_eq!(far.next_event().await, ("message".into(), json!("over")));
    let app: &App = &one.app;
    app.emit_to(far_id, "direct", &1).unwrap();
    app.emit_to_user("7", "user", &2).unwrap();
    app.to("#r").local().emit("local", &3).unwrap();
    app.broadcast("all", &4).unwrap();
    for expected in [("direct", 1), ("user", 2), ("all", 4)] {
        assert_eq!(far.next_event().await, (expected.0.into(), json!(expected.1)));
    }
    assert_eq!(near.next_event().await.0, "local");
    assert_eq!(near.next_event().await.0, "all");
    far.quiet().await;
    near.quiet().await;
}

#[tokio::test]
async fn a_request_reaches_a_client_of_another_node_and_returns_its_reply() {
    let (one, two) = two().await;
    let (mut near, near_id) = peer_of(&one).await;
    let (mut far, far_id) = peer_of(&two).await;
    for (peer, id) in [(&mut near, near_id), (&mut far, far_id)] {
        let request = one.app.request::<Value>(id, "/q", "größer \"als\" \u{1}");
        let (reply, question) = tokio::join!(request, reply_to_next(peer, json!({ "n": 1e300 })));
        assert_eq!(reply.unwrap(), json!({ "n": 1e300 }));
        assert_eq!((&question["event"], &question["data"]), (&json!("/q"), &json!("größer \"als\" \u{1}")));
        peer.quiet().await;
    }
}

#[tokio::test]
async fn an_app_without_a_server_sends_requests_to_clients_of_other_nodes() {
    let [bus, other_bus]: [LocalBus; 2] =
        LocalBus::connected(2).try_into().unwrap_or_else(|_| panic!("two buses"));
    let server = TestServer::start(app().with_bus(Arc::new(bus))).await;
    let requester = App::new().with_bus(Arc::new(other_bus));
    let (mut peer, id) = peer_of(&server).await;
    let (reply, _) =
        tokio::join!(requester.request::<u32>(id, "/q", &()), reply_to_next(&mut peer, json!(7)));
    assert_eq!(reply.unwrap(), 7);
}

#[tokio::test]
async fn a_request_to_another_node_fails_with_the_same_errors_as_a_local_one() {
    let mut limits = Limits::default();
    limits.requests_pending_max = 1;
    let with_koji = || app().with_koji(Koji::new()).with_limits(limits.clone());
    let (one, two) = two_of(with_koji).await;
    let (mut far, id) = peer_of(&two).await;
    // While this socket is connected, its node stays subscribed to the sockets of the project.
    let (_silent, silent) = peer_of(&two).await;
    let request = |ms| one.app.request_within::<u32>(Duration::from_millis(ms), id, "/q", &());
    let minute = 60_000;
    let (wrong, _) = tokio::join!(request(minute), reply_to_next(&mut far, json!("no number")));
    assert!(matches!(wrong, Err(RequestError::Decode(_))), "{wrong:?}");
    let (first, second) = tokio::join!(request(minute), async {
        let second = request(minute).await;
        far.next().await;
        far.close().await;
        second
    });
    assert!(matches!(second, Err(RequestError::TooMany { max: 1 })), "{second:?}");
    assert!(matches!(first, Err(RequestError::Closed)), "{first:?}");
    assert!(matches!(request(minute).await, Err(RequestError::Closed)), "its node replies immediately");

    let project = one.app.project(&ProjectId::new("p").unwrap());
    let koji: SocketId = KojiPeer::join(&two, "projectId=p").await.id.parse().unwrap();
    let outcome = project.request::<u32>(koji, "/q", &()).await;
    assert!(matches!(outcome, Err(RequestError::CannotReply)), "{outcome:?}");
    assert!(
        matches!(one.app.request::<u32>(koji, "/q", &()).await, Err(RequestError::Closed)),
        "the socket is in another project"
    );
    let short = Duration::from_millis(20);
    let outcome = one.app.request_within::<u32>(short, silent, "/q", &()).await;
    assert!(matches!(outcome, Err(RequestError::Timeout(within)) if within == short), "{outcome:?}");
    let bad_name = one.app.request::<u32>(id, "", &()).await;
    assert!(matches!(bad_name, Err(RequestError::Emit(_))), "{bad_name:?}");
}

#[tokio::test]
async fn pending_remote_calls_are_bounded() {
    let mut limits = Limits::default();
    limits.remote_calls_pending_max = 1;
    let (one, two) = two_of(|| app().with_limits(limits.clone())).await;
    let (mut far, id) = peer_of(&two).await;
    let (first, _) = tokio::join!(one.app.request::<u32>(id, "/q", &()), async {
        let second = one.app.request::<u32>(id, "/q", &()).await;
        assert!(matches!(second, Err(RequestError::Node(NodeError::TooMany { max: 1 }))), "{second:?}");
        let tagged = one.app.sync_tag(id, "t").await;
        assert!(matches!(tagged, Err(MembershipError::Node(NodeError::TooMany { max: 1 }))), "{tagged:?}");
        reply_to_next(&mut far, json!(1)).await
    });
    assert_eq!(first.unwrap(), 1);
    assert!(one.app.sync_tag(id, "t").await.unwrap());
}

#[tokio::test]
async fn users_and_tags_are_set_on_the_node_of_the_socket() {
    let mut limits = Limits::default();
    limits.memberships_max = 3;
    let (one, two) = two_of(|| app().with_limits(limits.clone())).await;
    let (mut far, id) = peer_of(&two).await;
    for expected in [true, false] {
        assert_eq!(one.app.set_user_online("7", id).await.unwrap(), expected);
        assert_eq!(one.app.sync_tag(id, "vip").await.unwrap(), expected);
    }
    let socket = two.app.socket(id).unwrap();
    assert_eq!(
        (socket.user().unwrap(), socket.tags()),
        (UserId::new("7").unwrap(), vec![TagName::new("*vip").unwrap()])
    );
    one.app.emit_to_user("7", "mail", &1).unwrap();
    assert_eq!(far.next_event().await.0, "mail");
    for expected in [true, false] {
        assert_eq!(one.app.unsync_tag(id, "*vip").await.unwrap(), expected);
    }
    for tag in ["a", "b"] {
        one.app.sync_tag(id, tag).await.unwrap();
    }
    let full = one.app.sync_tag(id, "c").await;
    assert!(matches!(full, Err(MembershipError::Join(JoinError::TooMany { max: 3 }))), "{full:?}");
    assert!(matches!(one.app.sync_tag(id, "").await, Err(MembershipError::Join(JoinError::Name(_)))));
    let unknown = SocketId::on(two.app.hub().bus().node());
    assert!(matches!(
        one.app.set_user_online("7", unknown).await,
        Err(MembershipError::Join(JoinError::Closed))
    ));
    assert!(!one.app.unsync_tag(unknown, "a").await.unwrap());
}

#[tokio::test]
async fn set_user_offline_logs_the_user_out_on_all_nodes_and_keeps_the_connections() {
    let (one, two) = two().await;
    let ((mut near, near_id), (mut far, far_id)) = (peer_of(&one).await, peer_of(&two).await);
    for id in [near_id, far_id] {
        one.app.set_user_online("7", id).await.unwrap();
    }
    assert_eq!(one.app.set_user_offline("7").await.unwrap(), 1, "the count of this node");
    one.app.emit_to_user("7", "mail", &1).unwrap();
    near.quiet().await;
    far.quiet().await;
    assert_eq!(two.app.socket(far_id).unwrap().user(), None);
}

#[tokio::test]
async fn an_audience_is_disconnected_on_all_nodes() {
    let (one, two) = two().await;
    let ((mut near, near_id), (mut far, far_id)) = (peer_of(&one).await, peer_of(&two).await);
    let mut spared = two.peer().await;
    for peer in [&mut near, &mut far, &mut spared] {
        peer.request("/join", json!("r")).await;
    }
    let spared_id = *two.app.all_socket_ids().await.unwrap().iter().find(|id| **id != far_id).unwrap();
    one.app.to("#r").emit("before", &1).unwrap();
    let audience = Audience::from(Target::room("r").unwrap()).except(spared_id);
    assert_eq!(one.app.disconnect(audience, 4001, "closing").unwrap(), 1, "the count of this node");
    for peer in [&mut near, &mut far] {
        assert_eq!(peer.next_event().await.0, "before");
        assert_eq!(peer.closed().await, (4001, "closing".into()));
    }
    assert_eq!(spared.next_event().await.0, "before");
    spared.quiet().await;
    assert_eq!(one.app.disconnect(near_id, 4001, "").unwrap(), 0, "the socket is disconnected");
    one.app.disconnect(spared_id, 4002, "spared before").unwrap();
    assert_eq!(spared.closed().await.0, 4002);
}

/// A bus without a connection to other nodes.
struct DisconnectedBus(LocalBus);

impl Bus for DisconnectedBus {
    fn node(&self) -> NodeId {
        self.0.node()
    }

    fn start(&self, receiver: std::sync::Weak<dyn Receiver>) {
        self.0.start(receiver);
    }

    fn publish(&self, _: &Publication, _: IfUnreached) -> Result<(), PublishError> {
        Err(PublishError::Disconnected)
    }

    fn subscribe(&self, project: &ProjectId, target: &Target) {
        self.0.subscribe(project, target);
    }

    fn unsubscribe(&self, project: &ProjectId, target: &Target) {
        self.0.unsubscribe(project, target);
    }

    fn is_up(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn a_disconnected_node_does_its_own_part_and_reports_the_lost_command() {
    let server = TestServer::start(app().with_bus(Arc::new(DisconnectedBus(LocalBus::default())))).await;
    let app = &server.app;
    let (mut peer, id) = peer_of(&server).await;
    let unknown = SocketId::random();
    assert!(app.set_user_online("7", id).await.unwrap());
    assert!(matches!(
        app.set_user_online("7", unknown).await,
        Err(MembershipError::Node(NodeError::Publish(PublishError::Disconnected)))
    ));
    assert!(matches!(
        app.request::<u32>(unknown, "/q", &()).await,
        Err(RequestError::Node(NodeError::Publish(PublishError::Disconnected)))
    ));
    assert!(matches!(
        app.set_user_offline("7").await,
        Err(CommandError::Partial { sockets_here: 1, cause: PublishError::Disconnected })
    ));
    assert!(!app.is_user_online("7").await.unwrap());
    assert_eq!(app.disconnect(id, 4000, "").unwrap(), 1, "the socket is local, so no command is published");
    assert_eq!(peer.closed().await.0, 4000);
    app.settled().await;
}

#[tokio::test]
async fn on_a_single_node_an_unknown_socket_is_closed() {
    let server = TestServer::start(app()).await;
    let unknown = SocketId::random();
    assert!(matches!(server.app.request::<u32>(unknown, "/q", &()).await, Err(RequestError::Closed)));
    let online = server.app.set_user_online("7", unknown).await;
    assert!(matches!(online, Err(MembershipError::Join(JoinError::Closed))));
}

#[tokio::test]
async fn invalid_control_messages_are_ignored() {
    let (one, two) = two().await;
    let (mut far, id) = peer_of(&two).await;
    let call = |call: Value| {
        let answer_to = json!({ "project": "", "call": SocketId::random() });
        json!({ "Call": { "answer_to": answer_to, "call": call } }).to_string()
    };
    let long = "x".repeat(300);
    let invalid = [
        String::new(),
        "{}".into(),
        "null".into(),
        "\u{0}".into(),
        "[".repeat(10_000),
        json!({ "Answer": { "Ok": 1 } }).to_string(),
        json!({ "Refused": { "TooMany": { "max": -1 } } }).to_string(),
        json!({ "Command": "Dance" }).to_string(),
        json!({ "Command": { "Close": { "code": 70_000, "reason": "" } } }).to_string(),
        call(json!({ "Request": { "event": long, "data": 1, "timeout_ms": 1 } })),
        call(json!({ "Request": { "event": "", "data": 1, "timeout_ms": 1 } })),
        call(json!({ "Join": { "User": long } })),
        call(json!({ "Join": { "Everyone": "" } })),
        call(json!({ "Leave": { "Tag": "" } })),
        call(json!({ "Leave": { "Tag": "t" } })),
    ];
    let project = one.app.project_id();
    for text in invalid {
        for audience in [Target::Everyone.into(), Target::Socket(id).into(), Audience::everyone().and(id)] {
            let content = Content::Control(text.clone().into_bytes().into());
            one.app.hub().publish(project, &audience, content).unwrap();
        }
    }
    let bytes = Content::Control(vec![0xff, 0xfe].into());
    one.app.hub().publish(project, &Target::Socket(id).into(), bytes).unwrap();
    far.quiet().await;
    assert!(one.app.sync_tag(id, "t").await.unwrap());
}

#[tokio::test]
async fn recipients_of_a_koji_event_are_reached_on_other_nodes() {
    let verifier = async |token: String| UserId::new(&token).map(Identity::new);
    let (one, two) = two_of(|| app().with_koji(Koji::new()).with_verifier(verifier)).await;
    let mut ann = KojiPeer::join(&one, "projectId=p&shardName=s").await;
    let mut bob = KojiPeer::join(&two, "projectId=p&shardName=s").await;
    let mut carl = KojiPeer::join(&two, "projectId=p&shardName=other&authorization=carl").await;
    ann.emit_to("some", json!([1]), json!([bob.id, "carl", carl.id])).await;
    for peer in [&mut bob, &mut carl] {
        assert_eq!(peer.next_event().await, ("some".into(), json!([1])));
        peer.quiet().await;
    }
    bob.emit("all", json!([2])).await;
    for peer in [&mut ann, &mut bob] {
        assert_eq!(peer.next_event().await, ("all".into(), json!([2])));
    }
    carl.quiet().await;
}
