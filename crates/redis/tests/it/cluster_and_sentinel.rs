//! The contracts and failovers on Redis Cluster and Sentinel. `./test` does not run these tests: each starts
//! four or five servers and waits for their elections.

use std::sync::Arc;
use std::time::Duration;

use switchboard_backplane::{Backplane, InboxLimits, Page, Store, contract};
use switchboard_event::{Event, Payload, Target};
use switchboard_hub::Scope;
use switchboard_redis::{Mode, Options, Publisher, Redis};
use switchboard_testkit::{RedisCluster, RedisSentinels, RedisServer, name};

use crate::large_audiences::assert_nodes_without_recipients_receive_nothing;
use crate::support::{LEASE, RedisNode, age_requests, node, settle, until};

/// Longer than an election, so that no lease expires.
const LONG: Duration = Duration::from_secs(60);

fn in_cluster(cluster: &RedisCluster, lease: Duration) -> Options {
    let mode = Mode::Cluster;
    Options { urls: cluster.urls(), mode, lease, linger: Duration::from_millis(50), ..Options::new("") }
}

fn by_sentinel(set: &RedisSentinels, lease: Duration) -> Options {
    let mode = Mode::Sentinel { master: "main".into(), password: Some("sentinel".into()) };
    let urls = set.sentinels.iter().map(|sentinel| format!("redis://:secret@127.0.0.1:{}", sentinel.port()));
    Options { urls: urls.collect(), mode, lease, ..Options::new("") }
}

async fn connect(options: &Options) -> RedisNode {
    node(Redis::connect(options.clone()).await.expect("Redis answers"))
}

/// Runs the contract tests of the backplane with nodes that use `options`.
async fn run_contracts(options: &Options, servers: &[&RedisServer]) {
    let (one, two, three) = (connect(options).await, connect(options).await, connect(options).await);
    contract::bus::delivery(&one.node, &two.node, async || settle(&[&one, &two]).await).await;
    contract::store::presence(
        &connect(&Options { prefix: "store".into(), ..options.clone() }).await.node,
        async || (),
    )
    .await;
    let stores: Vec<Arc<dyn Store>> = [&one, &two, &three].map(|node| node.redis.store()).into();
    contract::seats::placement(&stores, async || {
        for store in &stores {
            // The query returns after all earlier changes of the node are written.
            store.shards(&name("seats")).await.expect("the store replies");
        }
    })
    .await;
    let inbox = Options { inbox: Some(InboxLimits::default()), prefix: "inbox".into(), ..options.clone() };
    let node = connect(&inbox).await;
    contract::inbox::messages(&node.node, &node.redis.inbox().expect("the options enable the inbox")).await;
    let [one, two] = [one, two].map(|node| node.redis.idempotency_store());
    contract::idempotency::requests(&*one, &*two, async |by| age_requests(servers, by).await).await;
    assert_publishers_use_the_limits_of_nodes(options).await;
}

async fn assert_publishers_use_the_limits_of_nodes(options: &Options) {
    let limits = InboxLimits { messages_max: 3, ..InboxLimits::default() };
    let _node = connect(&Options { inbox: Some(limits), ..options.clone() }).await;
    let publisher = Publisher::connect(options.clone()).await.expect("Redis answers");
    let event = Event { name: name("event"), data: Payload::EMPTY, sender: None, time_ms: 0, trace: None };
    for project in PROJECTS {
        for n in 1..=4 {
            let stored =
                publisher.store(&name(project), &[name("7")], &event).await.expect("the message is stored");
            assert_eq!(stored.evicted, usize::from(n > 3), "{n} in {project}");
        }
    }
}

fn room() -> Target {
    Target::room("lobby").expect("short")
}

/// Enough projects to use the slots of every master.
const PROJECTS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// Gives every node a socket in the room of each project, and asserts that all receive the sends of the first node.
async fn assert_delivered_everywhere(nodes: &[&RedisNode], events: usize) {
    let members: Vec<_> = nodes.iter().map(|node| PROJECTS.map(|project| node.node.add(project))).collect();
    for (node, members) in nodes.iter().zip(&members) {
        members.iter().for_each(|member| node.node.join(member, &room()));
    }
    settle(nodes).await;
    for n in 0..events {
        for project in PROJECTS {
            nodes[0].node.send(project, room(), &format!("e{n}"), Scope::AllNodes);
        }
    }
    let expected: String = (0..events).map(|n| format!("e{n}.")).collect();
    for member in members.iter().flatten() {
        until("all events arrive", async || member.received().len() >= expected.len()).await;
        assert_eq!(member.received(), expected, "once and in order");
    }
    for project in PROJECTS {
        let store = nodes[0].redis.store();
        until("all members are counted", async || {
            store
                .members(&name(project), &room(), Page::all())
                .await
                .is_ok_and(|all| all.len() == nodes.len())
        })
        .await;
    }
    for (node, members) in nodes.iter().zip(&members) {
        members.iter().for_each(|member| node.node.hub.remove(&member.session));
    }
}

async fn until_reconnected(nodes: &[&RedisNode]) {
    for node in nodes {
        let what = "the node is connected after a failover";
        let (bus, store) = (node.redis.bus(), node.redis.store());
        until(what, async || bus.is_up() && store.is_up() && store.count_users(&name("a")).await.is_ok())
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "heavy: four servers"]
async fn a_cluster_fulfils_the_contracts() {
    let cluster = RedisCluster::start().await;
    let servers: Vec<&RedisServer> = cluster.servers.iter().collect();
    run_contracts(&in_cluster(&cluster, LEASE), &servers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "heavy: four servers"]
async fn in_a_cluster_a_node_without_recipients_does_not_receive_a_large_send() {
    let cluster = RedisCluster::start().await;
    let options = in_cluster(&cluster, LEASE);
    let (one, two, three) = (connect(&options).await, connect(&options).await, connect(&options).await);
    assert_nodes_without_recipients_receive_nothing([&one, &two, &three], &cluster.servers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "heavy: four servers"]
async fn nodes_in_a_cluster_receive_each_other_and_leave_no_keys() {
    let cluster = RedisCluster::start().await;
    let options = in_cluster(&cluster, LEASE);
    let (one, two, three) = (connect(&options).await, connect(&options).await, connect(&options).await);
    assert_delivered_everywhere(&[&one, &two, &three], 200).await;
    let dead = three.redis.bus().node().to_string();
    drop(three);
    until("the dead node is swept from every slot", async || {
        !any_key_contains(&cluster.servers, &dead).await
    })
    .await;
    for node in [one, two] {
        node.redis.leave().await;
    }
    until("no key remains", async || is_empty(&cluster.servers).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "heavy: four servers"]
async fn a_late_reply_of_a_cluster_is_an_error_and_is_not_retried() {
    let cluster = RedisCluster::start().await;
    let publisher = Publisher::connect(in_cluster(&cluster, LEASE)).await.expect("Redis answers");
    let event = Event { name: name("event"), data: Payload::EMPTY, sender: None, time_ms: 0, trace: None };
    let (project, user) = (name("a"), [name("7")]);
    publisher.store(&project, &user, &event).await.expect("the message is stored");
    for server in &cluster.servers {
        assert_eq!(server.ask("CLIENT PAUSE 3000").await, "+OK");
    }
    assert!(
        publisher.store(&project, &user, &event).await.is_err(),
        "the call times out before the pause ends"
    );
    for server in &cluster.servers {
        assert_eq!(server.ask("PING").await, "+PONG", "replies when the pause is over");
    }
    until("a message is stored", async || publisher.store(&project, &user, &event).await.is_ok()).await;
    let mut elements = 0;
    for server in &cluster.servers {
        // The other masters reply with a redirect.
        let answer = server.ask("LLEN switchboard:{a}:inbox:@7").await;
        elements += answer.strip_prefix(':').map_or(0, |count| count.parse().expect("a number"));
    }
    // The late call may or may not have stored its message, but it was not retried. The last call stored one.
    assert!(
        [4, 6].contains(&elements),
        "{elements} elements; a message has two, and two or three are stored"
    );
}

async fn is_empty(servers: &[RedisServer]) -> bool {
    for server in servers {
        if server.ask("DBSIZE").await != ":0" {
            return false;
        }
    }
    true
}

async fn any_key_contains(servers: &[RedisServer], mark: &str) -> bool {
    for server in servers {
        if server.ask(&format!("KEYS *{mark}*")).await != "*0" {
            return true;
        }
    }
    false
}

/// Returns true if a server is a master. A failover closes connections, so an error counts as false.
async fn is_master(url: &str) -> bool {
    let client = redis::Client::open(url).expect("the URL is valid");
    let Ok(mut connection) = client.get_multiplexed_async_connection().await else { return false };
    let info = redis::cmd("INFO").arg("replication").query_async::<String>(&mut connection).await;
    info.is_ok_and(|info| info.contains("role:master"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "heavy: four servers, an election"]
async fn nodes_follow_a_cluster_failover_to_the_replica() {
    let mut cluster = RedisCluster::start().await;
    let options = in_cluster(&cluster, LONG);
    let (one, two) = (connect(&options).await, connect(&options).await);
    let members = PROJECTS.map(|project| two.node.add(project));
    assert_delivered_everywhere(&[&one, &two], 10).await;
    cluster.servers[0].kill();
    let replica = cluster.servers[3].url();
    until("the replica takes over", async || is_master(&replica).await).await;
    until_reconnected(&[&one, &two]).await;
    assert_delivered_everywhere(&[&one, &two], 10).await;
    for (project, member) in PROJECTS.into_iter().zip(&members) {
        let store = one.redis.store();
        let everyone = store.members(&name(project), &Target::Everyone, Page::all()).await.unwrap();
        assert_eq!(everyone, [member.session.id]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "heavy: five servers"]
async fn a_master_found_by_sentinels_fulfils_the_contracts() {
    let set = RedisSentinels::start("secret").await;
    run_contracts(&by_sentinel(&set, LEASE), &[&set.master]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "heavy: five servers, an election"]
async fn nodes_follow_a_sentinel_failover_and_restore_a_lost_write() {
    let mut set = RedisSentinels::start("secret").await;
    let options = by_sentinel(&set, LONG);
    let (one, two) = (connect(&options).await, connect(&options).await);
    let member = two.node.add("a");
    assert_delivered_everywhere(&[&one, &two], 10).await;
    assert_eq!(one.redis.store().count(&name("a"), &Target::Everyone).await.unwrap(), 1);
    // Simulates a master that stopped before it replicated the socket.
    until("the replica has the socket", async || set.replica.ask("ZCARD switchboard:{a}:in:=").await == ":1")
        .await;
    assert_eq!(set.replica.ask("CONFIG SET replica-read-only no").await, "+OK");
    assert_eq!(set.replica.ask("DEL switchboard:{a}:in:=").await, ":1");
    set.master.kill();
    let replica = format!("redis://:secret@127.0.0.1:{}", set.replica.port());
    until("the replica takes over", async || is_master(&replica).await).await;
    until_reconnected(&[&one, &two]).await;
    assert_delivered_everywhere(&[&one, &two], 10).await;
    until("the socket is written again", async || {
        let store = one.redis.store();
        let everyone = store.members(&name("a"), &Target::Everyone, Page::all()).await;
        everyone.is_ok_and(|everyone| everyone == [member.session.id])
    })
    .await;
}
