//! Messages that legacy Mesa Dispatchers stored for offline users, together with our inbox.

use switchboard_backplane::{Backplane, InboxLimits, StoredMessage};
use switchboard_event::{Event, MessageNumber, Payload, Target};
use switchboard_redis::{MesaBridge, Options, Redis};
use switchboard_testkit::name;
use switchboard_testkit::{Member, RedisServer};

use crate::channels::ChannelProbe;
use crate::support::{RedisNode, node, options, run};

const STORED: &str = "undelivered_messages_api";

async fn connect(server: &RedisServer) -> RedisNode {
    let mesa = MesaBridge {
        namespace: Some("api".into()),
        project: name("p"),
        servers: true,
        ..MesaBridge::default()
    };
    let inbox = Some(InboxLimits { messages_max: 2, ..InboxLimits::default() });
    node(Redis::connect(Options { mesa: Some(mesa), inbox, ..options(server) }).await.unwrap())
}

fn connect_user(node: &RedisNode, user: &str) -> Member {
    let member = node.node.add("p");
    node.node.join(&member, &Target::user(user).unwrap());
    member
}

async fn open_inbox(
    node: &RedisNode,
    user: &str,
    member: &Member,
    after: Option<MessageNumber>,
) -> Vec<StoredMessage> {
    let (inbox, project, user) = (node.redis.inbox().unwrap(), name("p"), name(user));
    inbox.open(&project, &user, member.session.id, after, 1000).await.unwrap().messages
}

fn texts(messages: &[StoredMessage]) -> Vec<String> {
    messages.iter().map(|message| format!("{} {:?}", message.event.name, message.event.data)).collect()
}

async fn put(node: &RedisNode, user: &str, text: &str) {
    let event = Event { name: name(text), data: Payload::EMPTY, sender: None, time_ms: 0, trace: None };
    node.redis.inbox().unwrap().put(&name("p"), &[name(user)], &event).await.unwrap();
}

async fn store(server: &RedisServer, user: &str, messages: &str) {
    let _: i64 = run(server, &["HSET", STORED, user, messages]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_dispatchers_are_moved_to_the_inbox_and_returned_in_order() {
    let server = RedisServer::start().await;
    let node = connect(&server).await;
    let member = connect_user(&node, "7");
    put(&node, "7", "OURS").await;
    let stored = r#"[{"op":0,"d":{"n": 1e400},"t":"A"},{"op":0,"d":{},"t":"B"},null,{"op":7,"d":[]}]"#;
    store(&server, "7", stored).await;
    store(&server, "8", "[]").await;
    let all = open_inbox(&node, "7", &member, None).await;
    assert_eq!(texts(&all), ["OURS {}", "A {\"n\": 1e400}", "B {}", "@op/7 []"]);
    assert_eq!(run::<Vec<String>>(&server, &["HKEYS", STORED]).await, ["8"], "the messages are moved");
    store(&server, "7", r#"[{"op":0,"t":"LATE"}]"#).await;
    let late = open_inbox(&node, "7", &member, Some(all[3].number)).await;
    assert_eq!(texts(&late), ["LATE {}"]);
    let numbers = all.iter().chain(&late).map(|message| message.number).collect();
    let inbox = node.redis.inbox().unwrap();
    inbox.acknowledge(&name("p"), &name("7"), numbers);
    assert_eq!(texts(&open_inbox(&node, "7", &member, None).await), [""; 0]);
    assert!(inbox.has_late_writers());
    let left: Vec<String> = run(&server, &["KEYS", "switchboard:{p}:inbox*"]).await;
    assert_eq!(left, ["switchboard:{p}:inbox:last"], "no accounting remains");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_in_the_legacy_storage_is_dropped() {
    let server = RedisServer::start().await;
    let node = connect(&server).await;
    let member = connect_user(&node, "7");
    put(&node, "7", "OURS").await;
    for garbage in ["", "{bad", "null", "7", "{}", "[null]", "[[]]", "[{}", "\u{0}"] {
        store(&server, "7", garbage).await;
        assert_eq!(texts(&open_inbox(&node, "7", &member, None).await), ["OURS {}"], "{garbage}");
        assert_eq!(run::<i64>(&server, &["EXISTS", STORED]).await, 0, "{garbage}");
    }
    let _: String = run(&server, &["SET", STORED, "a text"]).await;
    assert_eq!(texts(&open_inbox(&node, "7", &member, None).await), ["OURS {}"]);
    let inbox = node.redis.inbox().unwrap();
    inbox.clear(&name("p"), &name("7")).await.unwrap();
    assert_eq!(
        run::<String>(&server, &["GET", STORED]).await,
        "a text",
        "a key of another type is left unchanged"
    );
    assert_eq!(texts(&open_inbox(&node, "7", &member, None).await), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clear_deletes_legacy_messages_only_in_the_bridged_project() {
    let server = RedisServer::start().await;
    let node = connect(&server).await;
    let member = connect_user(&node, "7");
    store(&server, "7", r#"[{"op":0,"t":"A"}]"#).await;
    let inbox = node.redis.inbox().unwrap();
    let in_other_project =
        inbox.open(&name("q"), &name("7"), member.session.id, None, 10).await.unwrap().messages;
    assert_eq!(texts(&in_other_project), [""; 0]);
    inbox.clear(&name("q"), &name("7")).await.unwrap();
    assert_eq!(run::<i64>(&server, &["HLEN", STORED]).await, 1);
    inbox.clear(&name("p"), &name("7")).await.unwrap();
    assert_eq!(run::<i64>(&server, &["HLEN", STORED]).await, 0);
    assert_eq!(texts(&open_inbox(&node, "7", &member, None).await), [""; 0]);
}

/// Appends a message as a Dispatcher does, but atomically.
const APPEND: &str = "local stored = redis.call('HGET', KEYS[1], ARGV[1]) \
    local rest = stored and stored:sub(1, -2) .. ',' or '[' \
    redis.call('HSET', KEYS[1], ARGV[1], rest .. ARGV[2] .. ']')";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_stored_during_reads_of_two_devices_arrive_once_and_in_order() {
    const COUNT: usize = 300;
    let server = RedisServer::start().await;
    let nodes = [connect(&server).await, connect(&server).await];
    let devices = [connect_user(&nodes[0], "7"), connect_user(&nodes[1], "7")];
    let store_all = async {
        for n in 0..COUNT {
            let message = format!(r#"{{"op":0,"t":"{n}"}}"#);
            let _: Option<i64> = run(&server, &["EVAL", APPEND, "1", STORED, "7", &message]).await;
        }
    };
    let (mut received, mut rounds) = (Vec::new(), 0);
    let read_all = async {
        while received.len() < COUNT {
            let both = tokio::join!(
                open_inbox(&nodes[0], "7", &devices[0], None),
                open_inbox(&nodes[1], "7", &devices[1], None)
            );
            for (node, list) in nodes.iter().zip([both.0, both.1]) {
                let numbers = list.iter().map(|message| message.number).collect();
                received.extend(list.into_iter().map(|message| message.event.name.to_string()));
                let inbox = node.redis.inbox().unwrap();
                inbox.acknowledge(&name("p"), &name("7"), numbers);
                inbox.settled().await;
            }
            rounds += 1;
        }
    };
    tokio::join!(store_all, switchboard_testkit::soon("all messages arrive", read_all));
    assert_eq!(received, (0..COUNT).map(|n| n.to_string()).collect::<Vec<_>>());
    assert!(rounds > 2, "reads and writes overlap");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stored_messages_are_published_for_legacy_servers() {
    let server = RedisServer::start().await;
    let node = connect(&server).await;
    let mut probe = ChannelProbe::open(&server, &["ws_api"]).await;
    put(&node, "7", "STORED").await;
    let (_, message) = probe.next().await;
    let rest = r#""message":{"op":0,"d":{},"t":"STORED"},"recipients":["7"]}"#;
    assert!(message.starts_with(r#"{"switchboard":""#) && message.ends_with(rest), "{message}");
}
