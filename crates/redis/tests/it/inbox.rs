//! The inbox in Redis: several nodes, invalid data, accounting, and failures of Redis.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use switchboard_backplane::{Backplane, Content, Inbox, InboxLimits};
use switchboard_event::{Event, MessageNumber, Payload, ProjectId, SocketId, Target, UserId};
use switchboard_hub::HubEvent;
use switchboard_redis::{Options, Redis};
use switchboard_testkit::name;
use switchboard_testkit::{Member, RedisServer};

use crate::support::{RedisNode, connect_with_inbox, node, options, query, settle, until};

fn project() -> ProjectId {
    name("p")
}

fn users(ids: &[&str]) -> Vec<UserId> {
    ids.iter().map(|id| name(id)).collect()
}

fn event(text: &str) -> Event {
    Event { name: name(text), data: Payload::EMPTY, sender: None, time_ms: 0, trace: None }
}

/// A node, its inbox, and the stored messages that it has received as publications.
struct InboxNode {
    node: RedisNode,
    inbox: Arc<dyn Inbox>,
    received: Arc<Mutex<Vec<(MessageNumber, String)>>>,
}

impl InboxNode {
    async fn new(server: &RedisServer) -> Self {
        InboxNode::of(connect_with_inbox(server, InboxLimits::default()).await)
    }

    fn of(node: RedisNode) -> Self {
        let (inbox, received) = (node.redis.inbox().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let log = received.clone();
        node.node.hub.listen(Box::new(move |event| {
            if let HubEvent::Publication(publication) = event
                && let Content::Stored { number, event } = publication.content
            {
                let to: Vec<String> = publication.audience.to.iter().map(Target::to_string).collect();
                log.lock().unwrap().push((number, format!("{} for {}", event.name, to.join(", "))));
            }
        }));
        InboxNode { node, inbox, received }
    }

    fn user(&self, id: &str) -> Member {
        let member = self.node.node.add("p");
        self.node.node.join(&member, &Target::user(id).unwrap());
        member
    }

    async fn put(&self, ids: &[&str], text: &str) -> Option<MessageNumber> {
        let stored = self.inbox.put(&project(), &users(ids), &event(text)).await.ok()?;
        Some(stored.number)
    }

    async fn open(&self, user: &str, socket: SocketId) -> Option<Vec<String>> {
        let stored = self.inbox.open(&project(), &name(user), socket, None, 100).await.ok()?.messages;
        Some(stored.iter().map(|message| message.event.name.to_string()).collect())
    }

    fn received(&self) -> Vec<String> {
        self.received.lock().unwrap().iter().map(|(_, text)| text.clone()).collect()
    }
}

fn texts(texts: &[&str]) -> Option<Vec<String>> {
    Some(texts.iter().map(ToString::to_string).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_node_receives_a_stored_message_once_for_its_users() {
    let server = RedisServer::start().await;
    let (one, two, idle) =
        (InboxNode::new(&server).await, InboxNode::new(&server).await, InboxNode::new(&server).await);
    let (_a, _b, _c) = (one.user("7"), one.user("7"), one.user("8"));
    let (_d, _e, _f) = (two.user("7"), two.user("9"), idle.user("10"));
    settle(&[&one.node, &two.node, &idle.node]).await;
    for node in [&one, &two, &idle] {
        node.node.redis.store().settled().await;
    }
    let number = one.put(&["8", "7", "9", "nobody"], "event").await.unwrap();
    for (node, received) in [(&one, "event for user 8, user 7"), (&two, "event for user 7, user 9")] {
        until("the publication arrives", async || !node.received().is_empty()).await;
        settle(&[&one.node, &two.node, &idle.node]).await;
        assert_eq!(*node.received.lock().unwrap(), [(number, received.to_owned())]);
    }
    assert!(idle.received().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inbox_held_by_a_dead_node_is_released() {
    let server = RedisServer::start().await;
    let (one, two) = (InboxNode::new(&server).await, InboxNode::new(&server).await);
    let (phone, tablet) = (one.user("7"), two.user("7"));
    one.put(&["7"], "a").await.unwrap();
    assert_eq!(one.open("7", phone.session.id).await, texts(&["a"]));
    assert_eq!(two.open("7", tablet.session.id).await, texts(&[]));
    drop((one, phone));
    let given = async || two.open("7", tablet.session.id).await == texts(&["a"]);
    until("the dead node is swept", given).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn puts_fail_while_redis_is_down_and_work_after_it_returns() {
    let mut server = RedisServer::start().await;
    let small = Options { inbox: Some(InboxLimits::default()), receipts_bytes_max: 1024, ..options(&server) };
    let node = InboxNode::of(node(Redis::connect(small).await.unwrap()));
    let seven = node.user("7");
    node.put(&["7"], "lost").await.unwrap();
    server.kill();
    until("the loss is noticed", async || !node.inbox.is_up() && node.put(&["7"], "x").await.is_none()).await;
    assert!(node.open("7", seven.session.id).await.is_none());
    assert!(node.inbox.clear(&project(), &name("7")).await.is_err());
    // More changes than the queue holds: the excess is dropped and blocks no caller.
    for n in 0..100 {
        node.inbox.acknowledge(&project(), &name("7"), vec![MessageNumber(n)]);
    }
    node.inbox.settled().await;
    server.run_again().await;
    until("the node is connected", async || node.inbox.is_up() && node.node.redis.store().is_up()).await;
    until("a message is stored", async || node.put(&["7"], "stored").await.is_some()).await;
    assert_eq!(node.open("7", seven.session.id).await, texts(&["stored"]));
    node.inbox.settled().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_that_redis_lost_are_loaded_again() {
    let server = RedisServer::start().await;
    let node = InboxNode::new(&server).await;
    let seven = node.user("7");
    let flush_scripts = async || assert_eq!(server.ask("SCRIPT FLUSH").await, "+OK");
    flush_scripts().await;
    let number = node.put(&["7"], "a").await.expect("the message is stored");
    flush_scripts().await;
    // The node may need to renew its lease first.
    until("the inbox is opened", async || node.open("7", seven.session.id).await == texts(&["a"])).await;
    flush_scripts().await;
    node.inbox.acknowledge(&project(), &name("7"), vec![number]);
    node.inbox.settled().await;
    until("no key of the inbox remains", async || {
        let left: Vec<String> = query(&server, redis::cmd("KEYS").arg("*{p}:inbox*")).await;
        left == ["switchboard:{p}:inbox:last"]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_in_one_inbox_affects_no_other_inbox() {
    let server = RedisServer::start().await;
    let node = InboxNode::new(&server).await;
    let (bad, good) = (node.user("bad"), node.user("good"));
    let set = async |key: &str| {
        let _: String = query(&server, redis::cmd("SET").arg(key).arg("a text")).await;
    };
    set("switchboard:{p}:inbox:@bad").await;
    let stored = node.inbox.put(&project(), &users(&["bad", "good"]), &event("a")).await.unwrap();
    assert_eq!(stored.inboxes, 1, "only one of the inboxes is usable");
    assert!(node.open("bad", bad.session.id).await.is_none());
    assert_eq!(node.open("good", good.session.id).await, texts(&["a"]));
    node.inbox.acknowledge(&project(), &name("bad"), vec![stored.number]);
    node.inbox.acknowledge(&project(), &name("good"), vec![stored.number]);
    node.inbox.settled().await;
    assert_eq!(
        node.open("good", good.session.id).await,
        texts(&[]),
        "acknowledgements for other inboxes are written"
    );
    node.inbox.clear(&project(), &name("bad")).await.expect("a key of any type can be cleared");
    assert!(node.put(&["bad"], "b").await.is_some());
    assert_eq!(node.open("bad", bad.session.id).await, texts(&["b"]));

    // Invalid entries are skipped and removed.
    let inbox = "switchboard:{p}:inbox:@bad";
    for garbage in [&b""[..], b"x", b"a number", b"\0\0\0\0\0\0\0\x01\x01no event but long enough"] {
        for push in ["LPUSH", "RPUSH"] {
            let _: i64 = query(&server, redis::cmd(push).arg(inbox).arg(garbage)).await;
        }
    }
    assert!(node.put(&["bad"], "c").await.is_some());
    assert_eq!(node.open("bad", bad.session.id).await, texts(&["b", "c"]));
    until("only the messages remain, a number and an event each", async || {
        node.open("bad", bad.session.id).await;
        query::<i64>(&server, redis::cmd("LLEN").arg(inbox)).await == 4
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_in_the_totals_of_a_project_affects_only_that_project() {
    let server = RedisServer::start().await;
    let node = InboxNode::new(&server).await;
    for part in ["totals", "bytes", "oldest", "last"] {
        let key = format!("switchboard:{{p}}:inbox:{part}");
        let _: i64 = query(&server, redis::cmd("DEL").arg(&key)).await;
        let _: i64 = query(&server, redis::cmd("SADD").arg(&key).arg("garbage")).await;
        assert!(node.put(&["7"], "a").await.is_none(), "{part}");
        let waits: i64 = query(&server, redis::cmd("EXISTS").arg("switchboard:{p}:inbox:@7")).await;
        assert_eq!(waits, 0, "{part}: a failed put stores nothing, so the caller can retry");
        let stored = node.inbox.put(&name("other"), &users(&["7"]), &event("a")).await.unwrap();
        assert_eq!(stored.inboxes, 1);
        let _: i64 = query(&server, redis::cmd("DEL").arg(&key)).await;
    }
    assert!(node.put(&["7"], "a").await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_puts_are_batched_and_each_caller_receives_its_own_result() {
    const COUNT: usize = 500;
    let server = RedisServer::start().await;
    let node = InboxNode::new(&server).await;
    let here = node.user("here");
    settle(&[&node.node]).await;
    node.node.redis.store().settled().await;
    let bad = "switchboard:{p}:inbox:@bad";
    let _: String = query(&server, redis::cmd("SET").arg(bad).arg("a text")).await;
    let _: String = query(&server, redis::cmd("CONFIG").arg("RESETSTAT")).await;
    let texts: Vec<Event> = (0..COUNT).map(|n| event(&format!("e{n}"))).collect();
    let to: Vec<Vec<UserId>> = (0..COUNT)
        .map(|n| match n {
            7 => users(&["bad"]),
            8 => users(&["bad", "8"]),
            n if n % 10 == 0 => users(&["here", &n.to_string()]),
            n => users(&[&n.to_string()]),
        })
        .collect();
    let project = project();
    let puts = texts.iter().zip(&to).map(|(event, to)| node.inbox.put(&project, to, event));
    let stored: Vec<_> = futures_util::future::join_all(puts).await.into_iter().map(Result::unwrap).collect();
    for (n, stored) in stored.iter().enumerate() {
        let inboxes = if n == 7 {
            0
        } else if n % 10 == 0 {
            2
        } else {
            1
        };
        assert_eq!((stored.inboxes, stored.evicted), (inboxes, 0), "{n}");
    }
    assert!(stored.is_sorted_by(|a, b| a.number < b.number), "numbers follow the order of the calls");
    let stats: String = query(&server, redis::cmd("INFO").arg("commandstats")).await;
    let calls = stats.split("cmdstat_evalsha:calls=").nth(1).unwrap().split(',').next().unwrap();
    let calls: usize = calls.parse().unwrap();
    assert!(calls < COUNT / 10, "{calls} calls for {COUNT} messages");
    until("the online user has received all", async || node.received().len() == COUNT / 10).await;
    let received: Vec<String> = (0..COUNT).step_by(10).map(|n| format!("e{n} for user here")).collect();
    assert_eq!(node.received(), received);
    let stored = node.open("here", here.session.id).await.unwrap();
    assert_eq!(stored, (0..COUNT).step_by(10).map(|n| format!("e{n}")).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn puts_during_a_loss_of_redis_return_errors() {
    let mut server = RedisServer::start().await;
    let node = InboxNode::new(&server).await;
    node.put(&["7"], "first").await.unwrap();
    let (inbox, project, to) = (node.inbox.clone(), project(), users(&["7"]));
    let event = event("late");
    // Redis replies to no one, so some puts wait for their reply and others for their batch.
    let _: String = query(&server, redis::cmd("CLIENT").arg("PAUSE").arg(60_000).arg("ALL")).await;
    let puts = futures_util::future::join_all((0..1000).map(|_| inbox.put(&project, &to, &event)));
    let ended = async {
        let (answers, ()) = tokio::join!(puts, async {
            tokio::task::yield_now().await;
            server.kill();
        });
        assert!(answers.iter().all(Result::is_err));
    };
    switchboard_testkit::soon("all puts end", ended).await;
}

/// The totals in Redis match the stored messages after any sequence of operations.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn totals_match_the_stored_messages() {
    // From small limits, where every inbox is counted, to limits where counting starts late or never.
    for (messages_max, bytes_max) in [(20, 100), (20, 230), (100, 700), (60, 10_000)] {
        assert_totals_match(messages_max, bytes_max).await;
    }
}

async fn assert_totals_match(messages_max: u64, bytes_max: usize) {
    let server = RedisServer::start().await;
    let limits = InboxLimits { messages_max, bytes_max: bytes_max as u64, ..InboxLimits::default() };
    let node = InboxNode::of(connect_with_inbox(&server, limits).await);
    let mut numbers = Vec::new();
    for n in 0..120_usize {
        let to: &[&str] = if n % 3 == 0 { &["a", "b", "c"] } else { &["a"] };
        numbers.push(node.put(to, &"e".repeat(1 + n * 7 % 23)).await.unwrap());
        // Some of the latest, oldest and middle messages, and of those that were evicted.
        if n % 5 == 4 {
            let some = [n, n - 2, n.saturating_sub(7), n / 2].map(|n| numbers[n]);
            node.inbox.acknowledge(&project(), &name(["a", "b", "c", "nobody"][n % 4]), some.into());
        }
        if n % 16 == 15 {
            node.inbox.settled().await;
            assert_accounted(&server, bytes_max).await;
        }
    }
    node.inbox.clear(&project(), &name("b")).await.unwrap();
    assert_accounted(&server, bytes_max).await;
    for user in ["a", "c"] {
        node.inbox.acknowledge(&project(), &name(user), numbers.clone());
    }
    node.inbox.settled().await;
    let left: Vec<String> = query(&server, redis::cmd("KEYS").arg("*{p}:inbox*")).await;
    assert_eq!(left, ["switchboard:{p}:inbox:last"]);
}

/// A node remembers the sizes of the messages it has read, but other nodes may delete some of them first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_acknowledged_by_several_nodes_are_subtracted_once() {
    let server = RedisServer::start().await;
    let (one, two) = (InboxNode::new(&server).await, InboxNode::new(&server).await);
    for acknowledged_elsewhere in [&[][..], &[0], &[3], &[9], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]] {
        for acknowledged_per_call in [10, 4, 1] {
            let seven = one.user("a");
            for n in 0..10 {
                one.put(&["a"], &"e".repeat(1 + n)).await.unwrap();
            }
            let stored = one.inbox.open(&project(), &name("a"), seven.session.id, None, 100).await.unwrap();
            let numbers: Vec<MessageNumber> = stored.messages.iter().map(|message| message.number).collect();
            let later = one.put(&["a", "b"], "later").await.unwrap();
            let elsewhere = acknowledged_elsewhere.iter().map(|index: &usize| numbers[*index]).collect();
            two.inbox.acknowledge(&project(), &name("a"), elsewhere);
            two.inbox.settled().await;
            for arrived in numbers.chunks(acknowledged_per_call) {
                one.inbox.acknowledge(&project(), &name("a"), arrived.into());
                one.inbox.settled().await;
                assert_accounted(&server, 1000).await;
            }
            assert_eq!(
                one.open("a", seven.session.id).await.unwrap(),
                ["later"],
                "{acknowledged_elsewhere:?}"
            );
            for user in ["a", "b"] {
                one.inbox.acknowledge(&project(), &name(user), vec![later]);
            }
            one.inbox.settled().await;
            let left: Vec<String> = query(&server, redis::cmd("KEYS").arg("*{p}:inbox*")).await;
            assert_eq!(left, ["switchboard:{p}:inbox:last"]);
        }
    }
}

async fn assert_accounted(server: &RedisServer, bytes_max: usize) {
    let (mut messages, mut bytes) = (0, 0);
    for user in ["a", "b", "c"] {
        let inbox = format!("switchboard:{{p}}:inbox:@{user}");
        let stored: Vec<Vec<u8>> = query(server, redis::cmd("LRANGE").arg(inbox).arg(0).arg(-1)).await;
        let stored: Vec<_> = stored.chunks_exact(2).map(|message| (&message[0], &message[1])).collect();
        assert!(stored.is_sorted_by(|a, b| a.0 < b.0), "{user}: in order");
        let inbox_bytes: usize = stored.iter().map(|(_, event)| event.len() - 11).sum();
        let counted: Option<usize> =
            query(server, redis::cmd("HGET").arg("switchboard:{p}:inbox:bytes").arg(user)).await;
        assert_eq!(counted.unwrap_or(inbox_bytes), inbox_bytes, "{user}");
        assert!(inbox_bytes <= bytes_max, "{user}: {inbox_bytes} bytes");
        assert!(counted.is_none() || !stored.is_empty(), "{user}: an empty inbox has no size entry");
        messages += stored.len();
        bytes += inbox_bytes;
    }
    let mut totals = redis::cmd("HMGET");
    totals.arg("switchboard:{p}:inbox:totals").arg("messages").arg("bytes");
    assert_eq!(query::<(usize, usize)>(server, &totals).await, (messages, bytes));
    let oldest: usize = query(server, redis::cmd("ZCARD").arg("switchboard:{p}:inbox:oldest")).await;
    assert!(oldest > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledgements_out_of_order_delete_from_a_long_inbox() {
    const COUNT: usize = 300;
    let server = RedisServer::start().await;
    let node = InboxNode::new(&server).await;
    let seven = node.user("7");
    let mut numbers = Vec::new();
    for n in 0..COUNT {
        numbers.push(node.put(&["7"], &format!("e{n}")).await.unwrap());
    }
    let odd: Vec<MessageNumber> = numbers.iter().copied().skip(1).step_by(2).rev().collect();
    for some in odd.chunks(40) {
        node.inbox.acknowledge(&project(), &name("7"), some.into());
    }
    node.inbox.settled().await;
    let even = |from: usize, to: usize| (from..to).step_by(2).map(|n| format!("e{n}")).collect::<Vec<_>>();
    assert_eq!(node.open("7", seven.session.id).await.unwrap(), even(0, 200), "a page of 100");
    for (after, first) in [(numbers[198], 200), (numbers[199], 200), (numbers[201], 202), (numbers[298], 300)]
    {
        let opened = node.inbox.open(&project(), &name("7"), seven.session.id, Some(after), 1000).await;
        let texts: Vec<String> =
            opened.unwrap().messages.iter().map(|message| message.event.name.to_string()).collect();
        assert_eq!(texts, even(first, COUNT), "after {after:?}");
    }
}

/// Every message reaches a user that repeatedly connects: from the inbox or as a publication.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_no_gap_between_stored_and_live_messages() {
    const COUNT: usize = 300;
    let server = RedisServer::start().await;
    let (from, at) = (InboxNode::new(&server).await, InboxNode::new(&server).await);
    let mut puts = tokio::task::JoinSet::new();
    puts.spawn(async move {
        for n in 0..COUNT {
            from.put(&["7"], &format!("e{n}")).await.expect("the message is stored");
            tokio::time::sleep(Duration::from_micros(300)).await;
        }
        from
    });
    let mut arrived = std::collections::HashSet::new();
    let mut rounds = 0;
    while arrived.len() < COUNT {
        let member = at.user("7");
        let before = at.received.lock().unwrap().len();
        let stored =
            at.inbox.open(&project(), &name("7"), member.session.id, None, 1000).await.unwrap().messages;
        let missed: Vec<MessageNumber> = stored.iter().map(|message| message.number).collect();
        tokio::time::sleep(Duration::from_millis(5)).await;
        let live: Vec<_> = at.received.lock().unwrap()[before..].iter().map(|(number, _)| *number).collect();
        let last = missed.last().copied().unwrap_or(MessageNumber(0));
        at.inbox.acknowledge(&project(), &name("7"), [missed.clone(), live.clone()].concat());
        arrived.extend(missed);
        arrived.extend(live.into_iter().filter(|number| *number > last));
        at.node.node.hub.remove(&member.session);
        at.inbox.settled().await;
        rounds += 1;
        assert!(rounds < 1000, "{} of {COUNT} arrived", arrived.len());
    }
    puts.join_all().await;
    let member = at.user("7");
    assert_eq!(at.open("7", member.session.id).await, texts(&[]), "all messages are acknowledged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_in_a_full_redis_can_be_read_and_deleted() {
    let server = RedisServer::start().await;
    let node = InboxNode::new(&server).await;
    let seven = node.user("a");
    let mut numbers = Vec::new();
    for n in 0..5 {
        numbers.push(node.put(&["a", "b"], &format!("e{n}")).await.unwrap());
    }
    let lease_ends = async || {
        let mut leases = redis::cmd("ZRANGE");
        leases.arg("switchboard:{*}:nodes").arg(0).arg(-1).arg("WITHSCORES");
        query::<Vec<(String, f64)>>(&server, &leases).await[0].1
    };
    let limit = async |bytes: &str| {
        let _: String = query(&server, redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(bytes)).await;
    };
    limit("1").await;
    assert!(node.put(&["a"], "more").await.is_none(), "the put fails");
    assert_eq!(node.open("a", seven.session.id).await, texts(&["e0", "e1", "e2", "e3", "e4"]));
    node.inbox.acknowledge(&project(), &name("a"), vec![numbers[2], numbers[4]]);
    node.inbox.settled().await;
    assert_accounted(&server, 1000).await;
    assert_eq!(node.open("a", seven.session.id).await, texts(&["e0", "e1", "e3"]));
    node.inbox.clear(&project(), &name("b")).await.unwrap();
    let ends = lease_ends().await;
    until("the lease is renewed", async || lease_ends().await > ends).await;
    let eight = node.user("c");
    until("the new socket is known", async || {
        node.node
            .redis
            .store()
            .count(&project(), &Target::user("c").unwrap())
            .await
            .is_ok_and(|count| count == 1)
    })
    .await;
    assert!(node.inbox.is_up());
    limit("0").await;
    assert!(node.put(&["a", "c"], "more").await.is_some());
    assert_eq!(node.open("c", eight.session.id).await, texts(&["more"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_expire_even_if_redis_is_full() {
    let server = RedisServer::start().await;
    let limits = InboxLimits { age_max_ms: 300, ..InboxLimits::default() };
    let node = InboxNode::of(connect_with_inbox(&server, limits).await);
    node.put(&["a", "b"], "oldest").await.unwrap();
    let _: String = query(&server, redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("1")).await;
    until("no key of the inbox remains", async || {
        let left: Vec<String> = query(&server, redis::cmd("KEYS").arg("*{p}:inbox*")).await;
        left.is_empty()
    })
    .await;
    assert!(node.inbox.is_up(), "the connection stays open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_message_for_many_users_is_stored_by_several_short_scripts() {
    const USERS: usize = 100;
    let server = RedisServer::start().await;
    let limits = InboxLimits { project_bytes_max: 1 << 30, ..InboxLimits::default() };
    let node = InboxNode::of(connect_with_inbox(&server, limits).await);
    let ids: Vec<String> = (0..USERS).map(|n| n.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let data = Payload::of(&"x".repeat(100_000)).unwrap();
    let large = Event { data, ..event("large") };
    let stored = node.inbox.put(&project(), &users(&ids), &large).await.unwrap();
    assert_eq!((stored.inboxes, stored.evicted), (USERS, 0));
    let stats: String = query(&server, redis::cmd("INFO").arg("commandstats")).await;
    let calls = |command: &str| {
        let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.map_or(0, |line| line.split(',').next().unwrap().parse::<usize>().unwrap())
    };
    assert_eq!(calls("rpush"), USERS);
    let messages_per_script = (1024 * 1024_usize).div_ceil(100_000);
    assert!(calls("evalsha") >= USERS / messages_per_script, "{stats}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_stored_forever_without_an_age_limit() {
    let server = RedisServer::start().await;
    let limits = InboxLimits { age_max_ms: u64::MAX, ..InboxLimits::default() };
    let node = InboxNode::of(connect_with_inbox(&server, limits).await);
    let seven = node.user("7");
    assert!(node.put(&["7"], "a").await.is_some());
    assert_eq!(node.open("7", seven.session.id).await, texts(&["a"]));
}
