//! Redis in several processes: a cluster, and a master and replica monitored by sentinels.

use crate::redis::free_port;
use crate::{RedisServer, Scratch, until};

/// A Redis Cluster of three masters with a third of the slots each, and a replica of the first.
pub struct RedisCluster {
    /// The masters, then the replica.
    pub servers: Vec<RedisServer>,
    _scratch: Scratch,
}

impl RedisCluster {
    /// Starts a cluster and waits until every server reports it as complete.
    pub async fn start() -> Self {
        let scratch = Scratch::new();
        let mut servers = Vec::new();
        let bus: Vec<String> = (0..4).map(|_| free_port().to_string()).collect();
        for (n, bus) in bus.iter().enumerate() {
            let file = scratch.file(&format!("nodes-{n}.conf"));
            let options = ["--cluster-enabled", "yes", "--cluster-config-file", &file, "--cluster-port", bus];
            let more = ["--cluster-node-timeout", "1000", "--cluster-replica-validity-factor", "0"];
            servers.push(RedisServer::start_with(&[&options[..], &more[..]].concat()).await);
        }
        for (server, slots) in servers.iter().zip(["0 5460", "5461 10922", "10923 16383"]) {
            expect(server, &format!("CLUSTER ADDSLOTSRANGE {slots}"), "+OK").await;
        }
        for (server, bus) in servers.iter().zip(&bus).skip(1) {
            let meet = format!("CLUSTER MEET 127.0.0.1 {} {bus}", server.port());
            expect(&servers[0], &meet, "+OK").await;
        }
        let first = servers[0].ask_text("CLUSTER MYID").await;
        let replica = servers.last().expect("there are four");
        until("the replica knows its master", async || {
            replica.ask(&format!("CLUSTER REPLICATE {first}")).await == "+OK"
        })
        .await;
        for server in &servers {
            until("the cluster is complete", async || {
                let info = server.ask_text("CLUSTER INFO").await;
                info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:4")
            })
            .await;
        }
        until("the replica has caught up", async || are_online(&servers[0], 1).await).await;
        RedisCluster { servers, _scratch: scratch }
    }

    /// The URLs of all servers.
    pub fn urls(&self) -> Vec<String> {
        self.servers.iter().map(RedisServer::url).collect()
    }
}

/// A master, a replica, and three sentinels with a quorum of two.
pub struct RedisSentinels {
    /// The initial master.
    pub master: RedisServer,
    /// The replica, which takes over.
    pub replica: RedisServer,
    /// They monitor the master under the name `main`.
    pub sentinels: Vec<RedisServer>,
    _scratch: Scratch,
}

impl RedisSentinels {
    /// Starts all and waits until the sentinels have discovered each other and the replica. `password` is for
    /// the servers; the sentinels use `sentinel`.
    pub async fn start(password: &str) -> Self {
        let scratch = Scratch::new();
        let secrets = ["--requirepass", password, "--masterauth", password];
        let master = RedisServer::start_with(&secrets).await;
        let port = master.port().to_string();
        let more = ["--replicaof", "127.0.0.1", &port, "--repl-diskless-sync-delay", "0"];
        let replica = RedisServer::start_with(&[&secrets[..], &more[..]].concat()).await;
        let mut sentinels = Vec::new();
        let settings = format!(
            "sentinel sentinel-pass sentinel\nsentinel monitor main 127.0.0.1 {port} 2\n\
             sentinel auth-pass main {password}\nsentinel down-after-milliseconds main 500\n\
             sentinel failover-timeout main 3000\n"
        );
        for _ in 0..3 {
            sentinels.push(RedisServer::start_sentinel(&scratch, "sentinel", &settings).await);
        }
        for sentinel in &sentinels {
            until("the sentinel has discovered all", async || {
                let info = sentinel.ask_text("INFO sentinel").await;
                info.contains("slaves=1,sentinels=3")
            })
            .await;
        }
        RedisSentinels { master, replica, sentinels, _scratch: scratch }
    }
}

async fn are_online(master: &RedisServer, replicas: usize) -> bool {
    master.ask_text("INFO replication").await.matches("state=online").count() == replicas
}

async fn expect(server: &RedisServer, command: &str, reply: &str) {
    assert_eq!(server.ask(command).await, reply, "{command}");
}
