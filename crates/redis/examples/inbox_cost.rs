//! Measures the inbox in a dedicated Redis against plain streams in the same run: appends for one user and for
//! 1,000 users per message, and redelivery with acknowledgement.
//!
//! `cargo run --release --example inbox_cost -p switchboard-redis -- 127.0.0.1:6379 [ROUNDS [USERS]]`

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{cmd, pipe};
use switchboard_backplane::{Backplane, Inbox, InboxLimits};
use switchboard_event::{Event, Name, Payload, ProjectId, SocketId, UserId};
use switchboard_redis::{Options, Redis};
use tokio::task::JoinSet;

type Done<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// Messages for each user.
const EACH: usize = 10;

/// The number of concurrent appends or users, and the pipeline length for plain streams.
const WINDOW: usize = 512;

/// The number of users per message of the second case.
const MANY: usize = 1000;

const DATA_BYTES: usize = 256;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Done {
    let mut arguments = std::env::args().skip(1);
    let url = format!("redis://{}", arguments.next().ok_or("usage: inbox_cost REDIS [ROUNDS [USERS]]")?);
    let rounds = arguments.next().map_or(Ok(3), |rounds| rounds.parse())?;
    let users = arguments.next().map_or(Ok(10_000), |users| users.parse())?;
    let bare = redis::Client::open(&*url)?.get_multiplexed_async_connection().await?;
    for round in 1..=rounds {
        Run { url: &url, bare: bare.clone(), users, round }.measure().await?;
    }
    Ok(())
}

struct Run<'a> {
    url: &'a str,
    bare: MultiplexedConnection,
    users: usize,
    round: usize,
}

/// Wall-clock time, and CPU time of this process and of Redis.
#[derive(Clone, Copy)]
struct Cost {
    wall: Duration,
    here: Duration,
    redis: Duration,
}

impl Run<'_> {
    async fn measure(&self) -> Done {
        let _: () = cmd("FLUSHALL").query_async(&mut self.bare.clone()).await?;
        let appended = self.measure_cost(self.bare_append("one", WINDOW)).await?;
        let shared = self.measure_cost(self.bare_append("many", MANY)).await?;
        let redelivered = self.measure_cost(self.bare_redeliver()).await?;
        let _: () = cmd("FLUSHALL").query_async(&mut self.bare.clone()).await?;

        let redis = Redis::connect(Options { inbox: Some(limits()), ..Options::new(self.url) }).await?;
        let inbox: Arc<dyn Inbox> = redis.inbox().ok_or("the inbox is not enabled")?;
        let node = redis.bus().node();
        let ours = self.measure_cost(append(&inbox, "one", self.names())).await?;
        self.print("append, 1 user", ours, appended);
        let ours = self.measure_cost(append_to_many(&inbox, "many", &self.names())).await?;
        self.print("append, 1,000 users", ours, shared);
        let ours = self.measure_cost(redeliver(&inbox, self.names(), || SocketId::on(node))).await?;
        self.print("redeliver", ours, redelivered);
        redis.leave().await;
        Ok(())
    }

    fn names(&self) -> Vec<UserId> {
        (0..self.users).map(|user| UserId::new(&format!("user-{user}")).expect("the name is short")).collect()
    }

    async fn measure_cost<T>(&self, work: impl Future<Output = Done<T>>) -> Done<Cost> {
        let (wall, here, redis) = (now(), own_cpu()?, self.redis_cpu().await?);
        work.await?;
        Ok(Cost {
            wall: wall.elapsed(),
            here: own_cpu()? - here,
            redis: self.redis_cpu().await?.saturating_sub(redis),
        })
    }

    fn print(&self, case: &str, ours: Cost, bare: Cost) {
        let us = |cost: Duration| cost.as_secs_f64() * 1e6 / (self.users * EACH) as f64;
        let formatted = |cost: Cost| {
            format!("{:.2} µs (CPU {:.2} here, {:.2} Redis)", us(cost.wall), us(cost.here), us(cost.redis))
        };
        let cpu = |cost: Cost| (cost.here + cost.redis).as_secs_f64();
        println!(
            "round {}  {case:19}  inbox {}  streams {}  ratio {:.2}, CPU {:.2}",
            self.round,
            formatted(ours),
            formatted(bare),
            ours.wall.as_secs_f64() / bare.wall.as_secs_f64(),
            cpu(ours) / cpu(bare),
        );
    }

    /// CPU time of Redis as reported by `INFO`.
    async fn redis_cpu(&self) -> Done<Duration> {
        let info: String = cmd("INFO").arg("cpu").query_async(&mut self.bare.clone()).await?;
        let seconds = |name: &str| {
            let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.and_then(|value| value.trim().parse::<f64>().ok()).ok_or("INFO has no such field")
        };
        Ok(Duration::from_secs_f64(seconds("used_cpu_user")? + seconds("used_cpu_sys")?))
    }

    /// Appends the same number of entries, each to the stream of its user.
    async fn bare_append(&self, kind: &str, window: usize) -> Done {
        let data = "x".repeat(DATA_BYTES);
        let entries: Vec<usize> = (0..EACH).flat_map(|_| 0..self.users).collect();
        for batch in entries.chunks(window) {
            let mut pipeline = pipe();
            for user in batch {
                pipeline.cmd("XADD").arg(format!("{kind}-{user}")).arg("*").arg("m").arg(&data).ignore();
            }
            let () = pipeline.query_async(&mut self.bare.clone()).await?;
        }
        Ok(())
    }

    async fn bare_redeliver(&self) -> Done {
        let users: Vec<String> = (0..self.users).map(|user| format!("one-{user}")).collect();
        for batch in users.chunks(WINDOW) {
            let mut pipeline = pipe();
            for user in batch {
                pipeline.cmd("XRANGE").arg(user).arg("-").arg("+").arg("COUNT").arg(100);
            }
            let stored: Vec<Vec<(String, Vec<Vec<u8>>)>> =
                pipeline.query_async(&mut self.bare.clone()).await?;
            let mut pipeline = pipe();
            for (user, entries) in batch.iter().zip(stored) {
                let ids: Vec<String> = entries.into_iter().map(|(id, _)| id).collect();
                if ids.len() != EACH {
                    return Err(format!("{} of {EACH} entries are stored", ids.len()).into());
                }
                pipeline.cmd("XDEL").arg(user).arg(ids).ignore();
            }
            let () = pipeline.query_async(&mut self.bare.clone()).await?;
        }
        Ok(())
    }
}

fn limits() -> InboxLimits {
    InboxLimits { project_messages_max: u64::MAX >> 12, ..InboxLimits::default() }
}

fn event() -> Done<Arc<Event>> {
    let data = Payload::of(&"x".repeat(DATA_BYTES - 2))?;
    Ok(Arc::new(Event { name: Name::new("N")?, data, sender: None, time_ms: 0, trace: None }))
}

/// Waits until fewer than `window` tasks are running.
async fn wait_for_slot(running: &mut JoinSet<Done>, window: usize) -> Done {
    while running.len() >= window {
        running.join_next().await.ok_or("no task is running")???;
    }
    Ok(())
}

async fn append(inbox: &Arc<dyn Inbox>, project: &str, users: Vec<UserId>) -> Done {
    let (project, event, mut running) = (ProjectId::new(project)?, event()?, JoinSet::new());
    for user in (0..EACH).flat_map(|_| users.clone()) {
        wait_for_slot(&mut running, WINDOW).await?;
        let (inbox, project, event) = (inbox.clone(), project.clone(), event.clone());
        running.spawn(async move {
            match inbox.put(&project, &[user], &event).await?.inboxes {
                1 => Ok(()),
                _ => Err("a message was not stored".into()),
            }
        });
    }
    wait_for_slot(&mut running, 1).await
}

async fn append_to_many(inbox: &Arc<dyn Inbox>, project: &str, users: &[UserId]) -> Done {
    let (project, event) = (ProjectId::new(project)?, event()?);
    for some in (0..EACH).flat_map(|_| users.chunks(MANY)) {
        if inbox.put(&project, some, &event).await?.inboxes != some.len() {
            return Err("a message was not stored for all users".into());
        }
    }
    Ok(())
}

async fn redeliver(inbox: &Arc<dyn Inbox>, users: Vec<UserId>, socket: impl Fn() -> SocketId) -> Done {
    let (project, mut running) = (ProjectId::new("one")?, JoinSet::new());
    for user in users {
        wait_for_slot(&mut running, WINDOW).await?;
        let (inbox, project, socket) = (inbox.clone(), project.clone(), socket());
        running.spawn(async move {
            let stored = inbox.open(&project, &user, socket, None, 100).await?.messages;
            if stored.len() != EACH {
                return Err(format!("{} of {EACH} messages are stored", stored.len()).into());
            }
            inbox.acknowledge(&project, &user, stored.iter().map(|message| message.number).collect());
            Ok(())
        });
    }
    wait_for_slot(&mut running, 1).await?;
    inbox.settled().await;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a measurement of time")]
fn now() -> Instant {
    Instant::now()
}

/// CPU time of all threads of this process.
fn own_cpu() -> Done<Duration> {
    let mut total = 0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
        total += text.split(' ').next().ok_or("schedstat has no time")?.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(total))
}
