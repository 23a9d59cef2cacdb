//! Helpers shared by tests: nodes, waiting for their changes, and Redis commands.

use std::time::Duration;

use switchboard_backplane::{Backplane, InboxLimits};
use switchboard_event::Target;
use switchboard_hub::Scope;
use switchboard_redis::{Options, Redis};
pub(crate) use switchboard_testkit::until;
use switchboard_testkit::{Member, Node, RedisServer};

/// The shortest lease that the options allow, for tests of expiry.
pub(crate) const LEASE: Duration = Duration::from_millis(900);

/// A node and its connection to Redis.
pub(crate) struct RedisNode {
    pub(crate) redis: Redis,
    pub(crate) node: Node,
    probe: Member,
}

pub(crate) fn options(server: &RedisServer) -> Options {
    Options { lease: LEASE, linger: Duration::from_millis(50), ..Options::new(&server.url()) }
}

pub(crate) async fn connect(server: &RedisServer) -> RedisNode {
    node(Redis::connect(options(server)).await.expect("Redis answers"))
}

pub(crate) async fn connect_with_inbox(server: &RedisServer, limits: InboxLimits) -> RedisNode {
    let options = Options { inbox: Some(limits), ..options(server) };
    node(Redis::connect(options).await.expect("Redis answers"))
}

pub(crate) fn node(redis: Redis) -> RedisNode {
    let store = redis.store();
    let node = Node::new(redis.bus(), |_| store);
    let probe = node.add("probe");
    RedisNode { redis, node, probe }
}

/// Waits until all earlier subscriptions and publications of the nodes have reached all others.
pub(crate) async fn settle(nodes: &[&RedisNode]) {
    for node in nodes {
        node.node.hub.bus().settled().await;
    }
    for from in nodes {
        let mark = format!("mark-{}", random_mark());
        from.node.send("probe", Target::Everyone, &mark, Scope::AllNodes);
        for to in nodes {
            until("the mark arrives", async || to.probe.received().contains(&mark)).await;
        }
    }
}

fn random_mark() -> String {
    switchboard_event::SocketId::random().to_string()
}

pub(crate) async fn keys(server: &RedisServer) -> Vec<String> {
    query(server, redis::cmd("KEYS").arg("*")).await
}

/// Shortens the expiry of all remembered requests by `by`.
pub(crate) async fn age_requests(servers: &[&RedisServer], by: Duration) {
    let script = "for _, key in ipairs(redis.call('KEYS', '*:request:*')) do \
                  redis.call('PEXPIRE', key, redis.call('PTTL', key) - ARGV[1]) end";
    for server in servers {
        // A replica refuses the script; it receives the change from its master.
        server.ask(&format!("EVAL \"{script}\" 0 {}", by.as_millis())).await;
    }
}

/// Runs a command on a new connection and returns the reply.
pub(crate) async fn query<T: redis::FromRedisValue>(server: &RedisServer, command: &redis::Cmd) -> T {
    let client = redis::Client::open(server.url()).expect("the URL is valid");
    let mut connection = client.get_multiplexed_async_connection().await.expect("Redis answers");
    command.query_async(&mut connection).await.expect("the command succeeds")
}

/// Runs a command that is given as words.
pub(crate) async fn run<T: redis::FromRedisValue>(server: &RedisServer, words: &[&str]) -> T {
    let mut command = redis::cmd(words[0]);
    words[1..].iter().for_each(|word| {
        command.arg(word);
    });
    query(server, &command).await
}
