//! Messages that wait, with several nodes, garbage in Redis, and a Redis that goes away.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use switchboard_backplane::{Backplane, Content, Inbox, InboxLimits};
use switchboard_event::{Event, MessageNumber, Payload, ProjectId, SocketId, Target, UserId};
use switchboard_hub::HubEvent;
use switchboard_redis::{Options, Redis};
use switchboard_testkit::RedisServer;
use switchboard_testkit::contract::Member;
use switchboard_testkit::name;

use crate::support::{RedisNode, connect_with_inbox, node, options, query, settle, until};

fn project() -> ProjectId {
    name("p")
}

fn users(ids: &[&str]) -> Vec<UserId> {
    ids.iter().map(|id| name(id)).collect()
}

fn event(text: &str) -> Event {
    Event { name: name(text), data: Payload::EMPTY, sender: None, time_ms: 0 }
}

/// A node, what waits, and what its sockets hear of it.
struct Place {
    node: RedisNode,
    inbox: Arc<dyn Inbox>,
    heard: Arc<Mutex<Vec<(MessageNumber, String)>>>,
}

impl Place {
    async fn new(server: &RedisServer) -> Self {
        Place::of(connect_with_inbox(server, InboxLimits::default()).await)
    }

    fn of(node: RedisNode) -> Self {
        let (inbox, heard) = (node.redis.inbox().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let noted = heard.clone();
        node.node.hub.listen(Box::new(move |notice| {
            if let HubEvent::Publication(publication) = notice
                && let Content::Stored { number, event } = publication.content
            {
                let to: Vec<String> = publication.audience.to.iter().map(Target::to_string).collect();
                noted.lock().unwrap().push((number, format!("{} for {}", event.name, to.join(", "))));
            }
        }));
        Place { node, inbox, heard }
    }

    fn user(&self, id: &str) -> Member {
        let member = self.node.node.add("p");
        self.node.node.join(&member, &Target::user(id).unwrap());
        member
    }

    async fn put(&self, ids: &[&str], text: &str) -> Option<MessageNumber> {
        let kept = self.inbox.put(&project(), &users(ids), &event(text)).await.ok()?;
        Some(kept.number)
    }

    async fn open(&self, user: &str, socket: SocketId) -> Option<Vec<String>> {
        let waiting = self.inbox.open(&project(), &name(user), socket, None, 100).await.ok()?.messages;
        Some(waiting.iter().map(|message| message.event.name.to_string()).collect())
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().iter().map(|(_, what)| what.clone()).collect()
    }
}

fn texts(texts: &[&str]) -> Option<Vec<String>> {
    Some(texts.iter().map(ToString::to_string).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_hears_once_what_is_for_its_users_and_nothing_else() {
    let server = RedisServer::start().await;
    let (one, two, idle) = (Place::new(&server).await, Place::new(&server).await, Place::new(&server).await);
    let (_a, _b, _c) = (one.user("7"), one.user("7"), one.user("8"));
    let (_d, _e, _f) = (two.user("7"), two.user("9"), idle.user("10"));
    settle(&[&one.node, &two.node, &idle.node]).await;
    for place in [&one, &two, &idle] {
        place.node.redis.store().settled().await;
    }
    let number = one.put(&["8", "7", "9", "nobody"], "said").await.unwrap();
    for (place, heard) in [(&one, "said for user 8, user 7"), (&two, "said for user 7, user 9")] {
        until("it is heard", async || !place.heard().is_empty()).await;
        settle(&[&one.node, &two.node, &idle.node]).await;
        assert_eq!(*place.heard.lock().unwrap(), [(number, heard.to_owned())]);
    }
    assert!(idle.heard().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_node_had_opened_is_given_to_others() {
    let server = RedisServer::start().await;
    let (one, two) = (Place::new(&server).await, Place::new(&server).await);
    let (phone, tablet) = (one.user("7"), two.user("7"));
    one.put(&["7"], "a").await.unwrap();
    assert_eq!(one.open("7", phone.session.id).await, texts(&["a"]));
    assert_eq!(two.open("7", tablet.session.id).await, texts(&[]));
    drop((one, phone));
    let given = async || two.open("7", tablet.session.id).await == texts(&["a"]);
    until("the dead is swept", given).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_nothing_is_kept_and_afterwards_all_is_well() {
    let mut server = RedisServer::start().await;
    let small = Options { inbox: Some(InboxLimits::default()), changes_max: 8, ..options(&server) };
    let place = Place::of(node(Redis::connect(small).await.unwrap()));
    let seven = place.user("7");
    place.put(&["7"], "lost").await.unwrap();
    server.kill();
    until("the loss is noticed", async || !place.inbox.is_up() && place.put(&["7"], "x").await.is_none())
        .await;
    assert!(place.open("7", seven.session.id).await.is_none());
    assert!(place.inbox.clear(&project(), &name("7")).await.is_err());
    // More than may wait to be written: they are dropped, and nobody waits for them.
    for n in 0..100 {
        place.inbox.acknowledge(&project(), &name("7"), vec![MessageNumber(n)]);
    }
    place.inbox.settled().await;
    server.run_again().await;
    until("it is back", async || place.inbox.is_up() && place.node.redis.store().is_up()).await;
    until("it is kept again", async || place.put(&["7"], "kept").await.is_some()).await;
    assert_eq!(place.open("7", seven.session.id).await, texts(&["kept"]));
    place.inbox.settled().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_forgot_the_scripts_is_told_them_again() {
    let server = RedisServer::start().await;
    let place = Place::new(&server).await;
    let seven = place.user("7");
    let forget = async || assert_eq!(server.ask("SCRIPT FLUSH").await, "+OK");
    forget().await;
    let number = place.put(&["7"], "a").await.expect("it is kept");
    forget().await;
    // The lease may be taken up again meanwhile.
    until("it is opened", async || place.open("7", seven.session.id).await == texts(&["a"])).await;
    forget().await;
    place.inbox.acknowledge(&project(), &name("7"), vec![number]);
    place.inbox.settled().await;
    until("nothing remains of it", async || {
        let left: Vec<String> = query(&server, redis::cmd("KEYS").arg("*{p}:inbox*")).await;
        left == ["switchboard:{p}:inbox:last"]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_in_one_inbox_is_nobody_elses_trouble() {
    let server = RedisServer::start().await;
    let place = Place::new(&server).await;
    let (bad, good) = (place.user("bad"), place.user("good"));
    let set = async |key: &str| {
        let _: String = query(&server, redis::cmd("SET").arg(key).arg("a text")).await;
    };
    set("switchboard:{p}:inbox:@bad").await;
    let kept = place.inbox.put(&project(), &users(&["bad", "good"]), &event("a")).await.unwrap();
    assert_eq!(kept.inboxes, 1, "only one inbox can be used");
    assert!(place.open("bad", bad.session.id).await.is_none());
    assert_eq!(place.open("good", good.session.id).await, texts(&["a"]));
    place.inbox.acknowledge(&project(), &name("bad"), vec![kept.number]);
    place.inbox.acknowledge(&project(), &name("good"), vec![kept.number]);
    place.inbox.settled().await;
    assert_eq!(place.open("good", good.session.id).await, texts(&[]), "receipts of others are written");
    place.inbox.clear(&project(), &name("bad")).await.expect("whatever it is");
    assert!(place.put(&["bad"], "b").await.is_some());
    assert_eq!(place.open("bad", bad.session.id).await, texts(&["b"]));

    // What is no message is skipped and dropped.
    let inbox = "switchboard:{p}:inbox:@bad";
    for garbage in [&b""[..], b"x", b"a number", b"\0\0\0\0\0\0\0\x01\x01no event but long enough"] {
        for push in ["LPUSH", "RPUSH"] {
            let _: i64 = query(&server, redis::cmd(push).arg(inbox).arg(garbage)).await;
        }
    }
    assert!(place.put(&["bad"], "c").await.is_some());
    assert_eq!(place.open("bad", bad.session.id).await, texts(&["b", "c"]));
    until("only the messages are left, a number and an event each", async || {
        place.open("bad", bad.session.id).await;
        query::<i64>(&server, redis::cmd("LLEN").arg(inbox)).await == 4
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_in_the_accounts_of_a_project_stops_that_project_only() {
    let server = RedisServer::start().await;
    let place = Place::new(&server).await;
    for part in ["totals", "bytes", "oldest", "last"] {
        let key = format!("switchboard:{{p}}:inbox:{part}");
        let _: i64 = query(&server, redis::cmd("DEL").arg(&key)).await;
        let _: i64 = query(&server, redis::cmd("SADD").arg(&key).arg("garbage")).await;
        assert!(place.put(&["7"], "a").await.is_none(), "{part}");
        let waits: i64 = query(&server, redis::cmd("EXISTS").arg("switchboard:{p}:inbox:@7")).await;
        assert_eq!(waits, 0, "{part}: who is told that it is not kept can put it again");
        let kept = place.inbox.put(&name("other"), &users(&["7"]), &event("a")).await.unwrap();
        assert_eq!(kept.inboxes, 1);
        let _: i64 = query(&server, redis::cmd("DEL").arg(&key)).await;
    }
    assert!(place.put(&["7"], "a").await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_put_at_once_goes_together_and_each_caller_has_an_answer_of_its_own() {
    const COUNT: usize = 500;
    let server = RedisServer::start().await;
    let place = Place::new(&server).await;
    let here = place.user("here");
    settle(&[&place.node]).await;
    place.node.redis.store().settled().await;
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
    let puts = texts.iter().zip(&to).map(|(event, to)| place.inbox.put(&project, to, event));
    let kept: Vec<_> = futures_util::future::join_all(puts).await.into_iter().map(Result::unwrap).collect();
    for (n, kept) in kept.iter().enumerate() {
        let inboxes = if n == 7 {
            0
        } else if n % 10 == 0 {
            2
        } else {
            1
        };
        assert_eq!((kept.inboxes, kept.evicted), (inboxes, 0), "{n}");
    }
    assert!(kept.is_sorted_by(|a, b| a.number < b.number), "in the order in which they were put");
    let stats: String = query(&server, redis::cmd("INFO").arg("commandstats")).await;
    let calls = stats.split("cmdstat_evalsha:calls=").nth(1).unwrap().split(',').next().unwrap();
    let calls: usize = calls.parse().unwrap();
    assert!(calls < COUNT / 10, "{calls} calls for {COUNT} messages");
    until("who is here has heard all", async || place.heard().len() == COUNT / 10).await;
    let heard: Vec<String> = (0..COUNT).step_by(10).map(|n| format!("e{n} for user here")).collect();
    assert_eq!(place.heard(), heard);
    let waiting = place.open("here", here.session.id).await.unwrap();
    assert_eq!(waiting, (0..COUNT).step_by(10).map(|n| format!("e{n}")).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_puts_while_redis_goes_away_is_told_so() {
    let mut server = RedisServer::start().await;
    let place = Place::new(&server).await;
    place.put(&["7"], "first").await.unwrap();
    let (inbox, project, to) = (place.inbox.clone(), project(), users(&["7"]));
    let event = event("late");
    // Redis answers nobody, so that some wait for their answer and others for their call.
    let _: String = query(&server, redis::cmd("CLIENT").arg("PAUSE").arg(60_000).arg("ALL")).await;
    let puts = futures_util::future::join_all((0..1000).map(|_| inbox.put(&project, &to, &event)));
    let ended = async {
        let (answers, ()) = tokio::join!(puts, async {
            tokio::task::yield_now().await;
            server.kill();
        });
        assert!(answers.iter().all(Result::is_err));
    };
    switchboard_testkit::soon("everybody is told", ended).await;
}

/// What stands in Redis is what is accounted for, whatever was done in whatever order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_accounts_are_those_of_what_waits() {
    // Few bytes, of which all is accounted for, up to so many that an account begins when much waits, or never.
    for (messages_max, bytes_max) in [(20, 100), (20, 230), (100, 700), (60, 10_000)] {
        accounts_hold(messages_max, bytes_max).await;
    }
}

async fn accounts_hold(messages_max: u64, bytes_max: usize) {
    let server = RedisServer::start().await;
    let limits = InboxLimits { messages_max, bytes_max: bytes_max as u64, ..InboxLimits::default() };
    let place = Place::of(connect_with_inbox(&server, limits).await);
    let mut numbers = Vec::new();
    for n in 0..120_usize {
        let to: &[&str] = if n % 3 == 0 { &["a", "b", "c"] } else { &["a"] };
        numbers.push(place.put(to, &"e".repeat(1 + n * 7 % 23)).await.unwrap());
        // Some of the latest, of the oldest, of those in the middle, and of those that gave way.
        if n % 5 == 4 {
            let some = [n, n - 2, n.saturating_sub(7), n / 2].map(|n| numbers[n]);
            place.inbox.acknowledge(&project(), &name(["a", "b", "c", "nobody"][n % 4]), some.into());
        }
        if n % 16 == 15 {
            place.inbox.settled().await;
            assert_accounted(&server, bytes_max).await;
        }
    }
    place.inbox.clear(&project(), &name("b")).await.unwrap();
    assert_accounted(&server, bytes_max).await;
    for user in ["a", "c"] {
        place.inbox.acknowledge(&project(), &name(user), numbers.clone());
    }
    place.inbox.settled().await;
    let left: Vec<String> = query(&server, redis::cmd("KEYS").arg("*{p}:inbox*")).await;
    assert_eq!(left, ["switchboard:{p}:inbox:last"]);
}

/// What a node handed out it knows the size of; but others take messages out as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_handed_out_is_accounted_for_once_whoever_took_some_of_it_out_before() {
    let server = RedisServer::start().await;
    let (one, two) = (Place::new(&server).await, Place::new(&server).await);
    for taken_elsewhere in [&[][..], &[0], &[3], &[9], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]] {
        for arrived_in in [10, 4, 1] {
            let seven = one.user("a");
            for n in 0..10 {
                one.put(&["a"], &"e".repeat(1 + n)).await.unwrap();
            }
            let waiting = one.inbox.open(&project(), &name("a"), seven.session.id, None, 100).await.unwrap();
            let numbers: Vec<MessageNumber> = waiting.messages.iter().map(|message| message.number).collect();
            let later = one.put(&["a", "b"], "later").await.unwrap();
            let elsewhere = taken_elsewhere.iter().map(|place: &usize| numbers[*place]).collect();
            two.inbox.acknowledge(&project(), &name("a"), elsewhere);
            two.inbox.settled().await;
            for arrived in numbers.chunks(arrived_in) {
                one.inbox.acknowledge(&project(), &name("a"), arrived.into());
                one.inbox.settled().await;
                assert_accounted(&server, 1000).await;
            }
            assert_eq!(one.open("a", seven.session.id).await.unwrap(), ["later"], "{taken_elsewhere:?}");
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
        let waiting: Vec<Vec<u8>> = query(server, redis::cmd("LRANGE").arg(inbox).arg(0).arg(-1)).await;
        let waiting: Vec<_> = waiting.chunks_exact(2).map(|message| (&message[0], &message[1])).collect();
        assert!(waiting.is_sorted_by(|a, b| a.0 < b.0), "{user}: in order");
        let its_bytes: usize = waiting.iter().map(|(_, event)| event.len() - 11).sum();
        let held: Option<usize> =
            query(server, redis::cmd("HGET").arg("switchboard:{p}:inbox:bytes").arg(user)).await;
        assert_eq!(held.unwrap_or(its_bytes), its_bytes, "{user}");
        assert!(its_bytes <= bytes_max, "{user}: {its_bytes} bytes");
        assert!(held.is_none() || !waiting.is_empty(), "{user}: nothing remains of an inbox that is empty");
        messages += waiting.len();
        bytes += its_bytes;
    }
    let mut totals = redis::cmd("HMGET");
    totals.arg("switchboard:{p}:inbox:totals").arg("messages").arg("bytes");
    assert_eq!(query::<(usize, usize)>(server, &totals).await, (messages, bytes));
    let old: usize = query(server, redis::cmd("ZCARD").arg("switchboard:{p}:inbox:oldest")).await;
    assert!(old > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_arrives_out_of_order_is_taken_out_of_a_long_inbox() {
    const COUNT: usize = 300;
    let server = RedisServer::start().await;
    let place = Place::new(&server).await;
    let seven = place.user("7");
    let mut numbers = Vec::new();
    for n in 0..COUNT {
        numbers.push(place.put(&["7"], &format!("e{n}")).await.unwrap());
    }
    let odd: Vec<MessageNumber> = numbers.iter().copied().skip(1).step_by(2).rev().collect();
    for some in odd.chunks(40) {
        place.inbox.acknowledge(&project(), &name("7"), some.into());
    }
    place.inbox.settled().await;
    let even = |from: usize, to: usize| (from..to).step_by(2).map(|n| format!("e{n}")).collect::<Vec<_>>();
    assert_eq!(place.open("7", seven.session.id).await.unwrap(), even(0, 200), "a hundred of them");
    for (after, first) in [(numbers[198], 200), (numbers[199], 200), (numbers[201], 202), (numbers[298], 300)]
    {
        let opened = place.inbox.open(&project(), &name("7"), seven.session.id, Some(after), 1000).await;
        let texts: Vec<String> =
            opened.unwrap().messages.iter().map(|message| message.event.name.to_string()).collect();
        assert_eq!(texts, even(first, COUNT), "after {after:?}");
    }
}

/// Every message reaches a user who comes and goes: waiting, or live.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn between_what_waits_and_what_is_heard_there_is_no_gap() {
    const COUNT: usize = 300;
    let server = RedisServer::start().await;
    let (from, at) = (Place::new(&server).await, Place::new(&server).await);
    let mut putting = tokio::task::JoinSet::new();
    putting.spawn(async move {
        for n in 0..COUNT {
            from.put(&["7"], &format!("e{n}")).await.expect("it is kept");
            tokio::time::sleep(Duration::from_micros(300)).await;
        }
        from
    });
    let mut arrived = std::collections::HashSet::new();
    let mut rounds = 0;
    while arrived.len() < COUNT {
        let member = at.user("7");
        let before = at.heard.lock().unwrap().len();
        let waiting =
            at.inbox.open(&project(), &name("7"), member.session.id, None, 1000).await.unwrap().messages;
        let missed: Vec<MessageNumber> = waiting.iter().map(|message| message.number).collect();
        tokio::time::sleep(Duration::from_millis(5)).await;
        let live: Vec<_> = at.heard.lock().unwrap()[before..].iter().map(|(number, _)| *number).collect();
        let last = missed.last().copied().unwrap_or(MessageNumber(0));
        at.inbox.acknowledge(&project(), &name("7"), [missed.clone(), live.clone()].concat());
        arrived.extend(missed);
        arrived.extend(live.into_iter().filter(|number| *number > last));
        at.node.node.hub.remove(&member.session);
        at.inbox.settled().await;
        rounds += 1;
        assert!(rounds < 1000, "{} of {COUNT} arrived", arrived.len());
    }
    putting.join_all().await;
    let member = at.user("7");
    assert_eq!(at.open("7", member.session.id).await, texts(&[]), "all are confirmed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_in_a_full_redis_can_be_read_and_taken_out() {
    let server = RedisServer::start().await;
    let place = Place::new(&server).await;
    let seven = place.user("a");
    let mut numbers = Vec::new();
    for n in 0..5 {
        numbers.push(place.put(&["a", "b"], &format!("e{n}")).await.unwrap());
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
    assert!(place.put(&["a"], "more").await.is_none(), "it is said that it is not kept");
    assert_eq!(place.open("a", seven.session.id).await, texts(&["e0", "e1", "e2", "e3", "e4"]));
    place.inbox.acknowledge(&project(), &name("a"), vec![numbers[2], numbers[4]]);
    place.inbox.settled().await;
    assert_accounted(&server, 1000).await;
    assert_eq!(place.open("a", seven.session.id).await, texts(&["e0", "e1", "e3"]));
    place.inbox.clear(&project(), &name("b")).await.unwrap();
    let ends = lease_ends().await;
    until("the lease goes on", async || lease_ends().await > ends).await;
    let eight = place.user("c");
    until("who comes is known", async || {
        place
            .node
            .redis
            .store()
            .count(&project(), &Target::user("c").unwrap())
            .await
            .is_ok_and(|count| count == 1)
    })
    .await;
    assert!(place.inbox.is_up());
    limit("0").await;
    assert!(place.put(&["a", "c"], "more").await.is_some());
    assert_eq!(place.open("c", eight.session.id).await, texts(&["more"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_waited_too_long_goes_though_redis_is_full() {
    let server = RedisServer::start().await;
    let limits = InboxLimits { age_max_ms: 300, ..InboxLimits::default() };
    let place = Place::of(connect_with_inbox(&server, limits).await);
    place.put(&["a", "b"], "old").await.unwrap();
    let _: String = query(&server, redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("1")).await;
    until("nothing remains", async || {
        let left: Vec<String> = query(&server, redis::cmd("KEYS").arg("*{p}:inbox*")).await;
        left.is_empty()
    })
    .await;
    assert!(place.inbox.is_up(), "and its connection stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_message_for_many_is_put_in_parts_that_are_short() {
    const USERS: usize = 100;
    let server = RedisServer::start().await;
    let limits = InboxLimits { project_bytes_max: 1 << 30, ..InboxLimits::default() };
    let place = Place::of(connect_with_inbox(&server, limits).await);
    let ids: Vec<String> = (0..USERS).map(|n| n.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let data = Payload::of(&"x".repeat(100_000)).unwrap();
    let large = Event { data, ..event("large") };
    let kept = place.inbox.put(&project(), &users(&ids), &large).await.unwrap();
    assert_eq!((kept.inboxes, kept.evicted), (USERS, 0));
    let stats: String = query(&server, redis::cmd("INFO").arg("commandstats")).await;
    let calls = |command: &str| {
        let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.map_or(0, |line| line.split(',').next().unwrap().parse::<usize>().unwrap())
    };
    assert_eq!(calls("rpush"), USERS);
    let most = (1024 * 1024_usize).div_ceil(100_000);
    assert!(calls("evalsha") >= USERS / most, "{stats}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_may_wait_for_ever() {
    let server = RedisServer::start().await;
    let limits = InboxLimits { age_max_ms: u64::MAX, ..InboxLimits::default() };
    let place = Place::of(connect_with_inbox(&server, limits).await);
    let seven = place.user("7");
    assert!(place.put(&["7"], "a").await.is_some());
    assert_eq!(place.open("7", seven.session.id).await, texts(&["a"]));
}
