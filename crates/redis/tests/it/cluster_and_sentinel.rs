//! The same through Redis Cluster, and through Sentinel with a failover. Not of `./test`: each starts
//! four or five servers and waits for their elections.

use std::sync::Arc;
use std::time::Duration;

use switchboard_backplane::{Backplane, InboxLimits, Page, Store};
use switchboard_event::{Event, Payload, Target};
use switchboard_hub::Scope;
use switchboard_redis::{Mode, Options, Publisher, Redis};
use switchboard_testkit::name;
use switchboard_testkit::{RedisCluster, RedisSentinels, RedisServer, contract};

use crate::large_audiences::no_node_hears_of_a_crowd_that_it_has_none_of;
use crate::support::{LEASE, RedisNode, let_requests_age, node, settle, until};

/// Longer than an election: what is tested is not the end of the lease.
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

/// The contracts of the bus, the store, the seats, what waits and what comes twice, with nodes that `options`
/// connect to `servers`.
async fn keeps_the_contracts(options: &Options, servers: &[&RedisServer]) {
    let (one, two, three) = (connect(options).await, connect(options).await, connect(options).await);
    contract::bus(&one.node, &two.node, async || settle(&[&one, &two]).await).await;
    contract::store(&connect(&Options { prefix: "store".into(), ..options.clone() }).await.node, async || ())
        .await;
    let stores: Vec<Arc<dyn Store>> = [&one, &two, &three].map(|node| node.redis.store()).into();
    contract::seats(&stores, async || {
        for store in &stores {
            // An answer comes when all that the node did before is written.
            store.shards(&name("seats")).await.expect("it answers");
        }
    })
    .await;
    let inbox = Options { inbox: Some(InboxLimits::default()), prefix: "inbox".into(), ..options.clone() };
    let node = connect(&inbox).await;
    contract::inbox::messages(&node.node, &node.redis.inbox().expect("it is asked for")).await;
    let [one, two] = [one, two].map(|node| node.redis.repeats());
    contract::repeats::requests(&*one, &*two, async |by| let_requests_age(servers, by).await).await;
    who_is_no_node_keeps_as_much_as_the_nodes_do(options).await;
}

async fn who_is_no_node_keeps_as_much_as_the_nodes_do(options: &Options) {
    let limits = InboxLimits { messages_max: 3, ..InboxLimits::default() };
    let _node = connect(&Options { inbox: Some(limits), ..options.clone() }).await;
    let publisher = Publisher::connect(options.clone()).await.expect("Redis answers");
    let event = Event { name: name("said"), data: Payload::EMPTY, sender: None, time_ms: 0 };
    for project in PROJECTS {
        for n in 1..=4 {
            let kept = publisher.store(&name(project), &[name("7")], &event).await.expect("it is kept");
            assert_eq!(kept.evicted, usize::from(n > 3), "{n} in {project}");
        }
    }
}

fn room() -> Target {
    Target::room("lobby").expect("short")
}

/// Projects enough to be in every third of the slots.
const PROJECTS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// Nodes with a socket in the room of each project, all of which hear what the first one sends.
async fn hears_everywhere(nodes: &[&RedisNode], events: usize) {
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
        until("all is heard", async || member.received().len() >= expected.len()).await;
        assert_eq!(member.received(), expected, "once and in order");
    }
    for project in PROJECTS {
        let store = nodes[0].redis.store();
        until("all are counted", async || {
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

async fn is_back(nodes: &[&RedisNode]) {
    for node in nodes {
        let what = "it is back after a failover";
        let (bus, store) = (node.redis.bus(), node.redis.store());
        until(what, async || bus.is_up() && store.is_up() && store.count_users(&name("a")).await.is_ok())
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "heavy: four servers"]
async fn a_cluster_keeps_the_contracts() {
    let cluster = RedisCluster::start().await;
    let servers: Vec<&RedisServer> = cluster.servers.iter().collect();
    keeps_the_contracts(&in_cluster(&cluster, LEASE), &servers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "heavy: four servers"]
async fn no_node_of_a_cluster_hears_what_is_for_many_users_and_none_of_its_own() {
    let cluster = RedisCluster::start().await;
    let options = in_cluster(&cluster, LEASE);
    let (one, two, three) = (connect(&options).await, connect(&options).await, connect(&options).await);
    no_node_hears_of_a_crowd_that_it_has_none_of([&one, &two, &three], &cluster.servers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "heavy: four servers"]
async fn nodes_in_a_cluster_hear_each_other_and_leave_nothing() {
    let cluster = RedisCluster::start().await;
    let options = in_cluster(&cluster, LEASE);
    let (one, two, three) = (connect(&options).await, connect(&options).await, connect(&options).await);
    hears_everywhere(&[&one, &two, &three], 200).await;
    let dead = three.redis.bus().node().to_string();
    drop(three);
    until("the dead node is swept from every slot", async || !remains(&cluster.servers, &dead).await).await;
    for node in [one, two] {
        node.redis.leave().await;
    }
    until("nothing remains", async || is_empty(&cluster.servers).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "heavy: four servers"]
async fn what_a_cluster_does_late_is_an_error_and_not_done_again() {
    let cluster = RedisCluster::start().await;
    let publisher = Publisher::connect(in_cluster(&cluster, LEASE)).await.expect("Redis answers");
    let event = Event { name: name("said"), data: Payload::EMPTY, sender: None, time_ms: 0 };
    let (project, user) = (name("a"), [name("7")]);
    publisher.store(&project, &user, &event).await.expect("it is kept");
    for server in &cluster.servers {
        assert_eq!(server.ask("CLIENT PAUSE 3000").await, "+OK");
    }
    assert!(publisher.store(&project, &user, &event).await.is_err(), "who waits gives up first");
    for server in &cluster.servers {
        assert_eq!(server.ask("PING").await, "+PONG", "when the pause is over");
    }
    until("it is kept", async || publisher.store(&project, &user, &event).await.is_ok()).await;
    let mut elements = 0;
    for server in &cluster.servers {
        // Others say who has it.
        let answer = server.ask("LLEN switchboard:{a}:inbox:@7").await;
        elements += answer.strip_prefix(':').map_or(0, |count| count.parse().expect("a number"));
    }
    // Of what was late nobody knows whether it was done; but not how often it was tried meanwhile.
    assert!([4, 6].contains(&elements), "{elements} are two or three messages");
}

async fn is_empty(servers: &[RedisServer]) -> bool {
    for server in servers {
        if server.ask("DBSIZE").await != ":0" {
            return false;
        }
    }
    true
}

async fn remains(servers: &[RedisServer], mark: &str) -> bool {
    for server in servers {
        if server.ask(&format!("KEYS *{mark}*")).await != "*0" {
            return true;
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "heavy: four servers, an election"]
async fn a_cluster_that_loses_a_master_goes_on_with_its_replica() {
    let mut cluster = RedisCluster::start().await;
    let options = in_cluster(&cluster, LONG);
    let (one, two) = (connect(&options).await, connect(&options).await);
    let kept = PROJECTS.map(|project| two.node.add(project));
    hears_everywhere(&[&one, &two], 10).await;
    cluster.servers[0].kill();
    until("the replica takes over", async || {
        cluster.servers[3].ask_text("INFO replication").await.contains("role:master")
    })
    .await;
    is_back(&[&one, &two]).await;
    hears_everywhere(&[&one, &two], 10).await;
    for (project, member) in PROJECTS.into_iter().zip(&kept) {
        let store = one.redis.store();
        let everyone = store.members(&name(project), &Target::Everyone, Page::all()).await.unwrap();
        assert_eq!(everyone, [member.session.id]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "heavy: five servers"]
async fn a_master_that_sentinels_name_keeps_the_contracts() {
    let set = RedisSentinels::start("secret").await;
    keeps_the_contracts(&by_sentinel(&set, LEASE), &[&set.master]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "heavy: five servers, an election"]
async fn nodes_follow_the_sentinels_to_a_replica_that_lacks_a_write() {
    let mut set = RedisSentinels::start("secret").await;
    let options = by_sentinel(&set, LONG);
    let (one, two) = (connect(&options).await, connect(&options).await);
    let kept = two.node.add("a");
    hears_everywhere(&[&one, &two], 10).await;
    assert_eq!(one.redis.store().count(&name("a"), &Target::Everyone).await.unwrap(), 1);
    // As if the master had ended before the replica heard of the socket.
    until("the replica has it", async || set.replica.ask("ZCARD switchboard:{a}:in:=").await == ":1").await;
    assert_eq!(set.replica.ask("CONFIG SET replica-read-only no").await, "+OK");
    assert_eq!(set.replica.ask("DEL switchboard:{a}:in:=").await, ":1");
    set.master.kill();
    until("the replica takes over", async || {
        set.replica.ask_text("INFO replication").await.contains("role:master")
    })
    .await;
    is_back(&[&one, &two]).await;
    hears_everywhere(&[&one, &two], 10).await;
    until("the socket is written again", async || {
        let store = one.redis.store();
        let everyone = store.members(&name("a"), &Target::Everyone, Page::all()).await;
        everyone.is_ok_and(|everyone| everyone == [kept.session.id])
    })
    .await;
}
