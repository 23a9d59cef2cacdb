//! Mesa clients that are told what waited, and what they say meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde_json::json;
use switchboard::{
    App, Content, Event, Inbox, InboxLimits, InboxPage, Limits, Mesa, MesaSettings, MessageNumber, ProjectId,
    Publication, Receiver, SocketId, StoreError, StoreFuture, Stored, Target, UserId,
};
use switchboard_disk::DiskInbox;
use switchboard_testkit::raw::frame;
use switchboard_testkit::{Peer, TestServer, soon};

use crate::inbox_support::{
    come, emptied, keep, live, log_in, login, look, missed, raw, until, verify, when,
};

/// Longer than any test waits.
const AGES: Duration = Duration::from_secs(60);

fn inbox() -> Arc<DiskInbox> {
    Arc::new(DiskInbox::in_memory(InboxLimits::default()))
}

fn paused(redelivery_interval: Duration) -> MesaSettings {
    MesaSettings { redelivery_interval, ..MesaSettings::default() }
}

async fn start(settings: MesaSettings) -> TestServer {
    start_with(inbox(), settings).await
}

async fn start_with(inbox: Arc<DiskInbox>, settings: MesaSettings) -> TestServer {
    let mesa = Mesa::new().with_settings(settings);
    TestServer::start(App::new().with_inbox(inbox).with_mesa(mesa).with_verifier(verify)).await
}

/// The oldest message that waits for a user whose inbox a socket has.
async fn oldest(server: &TestServer, user: &str) -> Option<MessageNumber> {
    look(server, user).await.oldest
}

#[tokio::test]
async fn what_is_more_than_an_outbox_takes_is_told_in_one_login() {
    let server = start(MesaSettings::default()).await;
    let large = "x".repeat(300 * 1024);
    for n in 1..=3 {
        keep(&server, "7", (n, &large)).await;
    }
    let mut peer = come(&server, "7").await;
    for n in 1..=3 {
        let told = peer.next().await;
        assert_eq!((&told["s"], &told["d"][0]), (&json!(n), &json!(n)));
    }
    peer.silent().await.unwrap();
    emptied(&server, "7").await;
}

#[tokio::test]
async fn a_client_that_answers_its_heartbeats_stays_however_long_it_is_told() {
    let settings = MesaSettings {
        heartbeat_interval: Some(Duration::from_millis(100)),
        heartbeat_attempts_max: 2,
        ..paused(Duration::from_millis(20))
    };
    let server = start(settings).await;
    for n in 1..=60 {
        keep(&server, "7", n).await;
    }
    let mut peer = come(&server, "7").await;
    let (mut told, mut beats) = (Vec::new(), 0);
    let living = async {
        loop {
            match peer.next().await {
                beat if beat["op"] == 1 => {
                    beats += 1;
                    peer.send(&json!({ "op": 11, "d": {} })).await;
                }
                message => told.push(message),
            }
        }
    };
    tokio::select! {
        () = emptied(&server, "7") => {}
        () = living => {}
    }
    assert_eq!(told, (1..=60).map(|n| missed(n, n)).collect::<Vec<_>>());
    assert!(beats > 4, "it was asked {beats} times, and would have been closed at the fourth");
}

#[tokio::test]
async fn a_client_is_answered_while_it_is_told() {
    let server = start(paused(AGES)).await;
    keep(&server, "7", 1).await;
    keep(&server, "7", 2).await;
    let mut peer = come(&server, "7").await;
    assert_eq!(peer.next().await, missed(1, 1));
    peer.send(&json!({ "op": 1 })).await;
    assert_eq!(peer.next().await, json!({ "op": 11, "d": {} }));
    server.app.emit_to_user("7", "N", &3).unwrap();
    peer.silent().await.expect("what is live waits for the rest");
    peer.send_close(1000).await;
    assert_eq!(peer.closed().await.0, 1000, "and its close is heard");
}

#[tokio::test]
async fn a_client_that_closes_while_it_is_told_gets_the_rest_at_its_next_login() {
    let inbox = inbox();
    let slow = start_with(inbox.clone(), paused(AGES)).await;
    for n in 1..=4 {
        keep(&slow, "7", n).await;
    }
    let mut peer = come(&slow, "7").await;
    let first = oldest(&slow, "7").await;
    assert_eq!(peer.next().await, missed(1, 1));
    peer.silent().await.unwrap();
    when(&slow, "7", "the first has arrived", |opened| opened.oldest != first).await;
    peer.send_close(1000).await;
    peer.closed().await;
    let swift = start_with(inbox, MesaSettings::default()).await;
    let mut again = come(&swift, "7").await;
    for (number, n) in (2..=4).enumerate() {
        assert_eq!(again.next().await, missed(n, number + 1));
    }
    again.silent().await.unwrap();
    emptied(&swift, "7").await;
}

#[tokio::test]
async fn a_second_login_while_it_is_told_goes_on_with_the_rest() {
    let server = start(paused(AGES)).await;
    for n in 1..=3 {
        keep(&server, "7", n).await;
    }
    let mut peer = come(&server, "7").await;
    assert_eq!(peer.next().await, missed(1, 1));
    server.app.emit_to_user("7", "N", &4).unwrap();
    for n in 2..=3 {
        log_in(&mut peer, "7").await;
        assert_eq!(peer.next().await, missed(n, 1));
    }
    assert_eq!(peer.next().await, live(4), "all is told");
    peer.silent().await.unwrap();
    emptied(&server, "7").await;
}

/// Sends a login and reads up to its op 22: the messages before that, which are numbered on from `told`.
async fn log_in_again(peer: &mut Peer, user: &str, mut told: usize) -> usize {
    peer.send(&login(user, true)).await;
    loop {
        let frame = peer.next().await;
        if frame["op"] == 22 {
            return told;
        }
        told += 1;
        assert_eq!(frame, missed(told, told));
    }
}

#[tokio::test]
async fn two_logins_in_a_row_tell_each_message_once_and_in_order() {
    let server = start(paused(Duration::from_millis(10))).await;
    for n in 1..=30 {
        keep(&server, "7", n).await;
    }
    let mut peer = come(&server, "7").await;
    assert_eq!(peer.next().await, missed(1, 1));
    let before = log_in_again(&mut peer, "7", 1).await;
    assert!(before < 30, "it was not all told by then");
    for n in before + 1..=30 {
        assert_eq!(peer.next().await, missed(n, n - before));
    }
    peer.silent().await.unwrap();
    emptied(&server, "7").await;
}

#[tokio::test]
async fn nothing_of_the_user_before_is_told_behind_the_answer_to_the_next_token() {
    let server = start(paused(Duration::from_millis(10))).await;
    for n in 1..=30 {
        keep(&server, "7", n).await;
        keep(&server, "8", n + 100).await;
    }
    let mut peer = come(&server, "7").await;
    assert_eq!(peer.next().await, missed(1, 1));
    let before = log_in_again(&mut peer, "8", 1).await;
    assert!(before < 30, "it was not all told by then");
    for n in 1..=30 {
        assert_eq!(peer.next().await, missed(n + 100, n));
    }
    peer.silent().await.unwrap();
    let mut other = come(&server, "7").await;
    for n in before + 1..=30 {
        assert_eq!(other.next().await, missed(n, n - before));
    }
}

#[tokio::test]
async fn a_client_that_becomes_another_user_is_told_that_ones_and_leaves_the_rest_to_others() {
    let server = start(paused(AGES)).await;
    for n in 1..=2 {
        keep(&server, "7", n).await;
        keep(&server, "8", n + 10).await;
    }
    let mut peer = come(&server, "7").await;
    let first = oldest(&server, "7").await;
    assert_eq!(peer.next().await, missed(1, 1));
    peer.silent().await.unwrap();
    when(&server, "7", "the first has arrived", |opened| opened.oldest != first).await;
    log_in(&mut peer, "8").await;
    assert_eq!(peer.next().await, missed(11, 1));
    peer.silent().await.expect("the next comes after the pause");
    let mut other = come(&server, "7").await;
    assert_eq!(other.next().await, missed(2, 1), "nobody has the inbox any more");
    peer.silent().await.unwrap();
}

#[tokio::test]
async fn who_drops_the_rest_while_it_is_told_hears_what_is_live() {
    let server = start(paused(AGES)).await;
    for n in 1..=2 {
        keep(&server, "7", n).await;
    }
    let mut peer = come(&server, "7").await;
    assert_eq!(peer.next().await, missed(1, 1));
    peer.send(&login("7", false)).await;
    assert_eq!(peer.next().await["op"], 22);
    keep(&server, "7", 3).await;
    assert_eq!(peer.next().await, live(3));
    peer.silent().await.unwrap();
    emptied(&server, "7").await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_what_is_being_told() {
    let mut server = start(paused(AGES)).await;
    for n in 1..=2 {
        keep(&server, "7", n).await;
    }
    let mut peer = come(&server, "7").await;
    assert_eq!(peer.next().await, missed(1, 1));
    server.begin_stop();
    assert_eq!(peer.closed().await.0, 1012);
    drop(peer);
    let before = tokio::time::Instant::now();
    server.stopped().await;
    assert!(before.elapsed() < Duration::from_secs(5), "shorter than what is left behind at a stop");
}

#[tokio::test]
async fn a_second_device_leaves_the_inbox_to_the_first_as_long_as_that_answers() {
    // Longer in all than a mute one would have.
    let server = start(paused(Duration::from_millis(50))).await;
    for n in 1..=60 {
        keep(&server, "7", n).await;
    }
    let mut first = come(&server, "7").await;
    assert_eq!(first.next().await, missed(1, 1));
    let mut second = come(&server, "7").await;
    for n in 2..=60 {
        assert_eq!(first.next().await, missed(n, n));
    }
    first.silent().await.unwrap();
    keep(&server, "7", 61).await;
    assert_eq!(first.next().await, live(61));
    let told = second.next().await;
    assert_eq!(told["d"], 61, "all others were the first one's");
}

#[tokio::test]
async fn who_has_been_told_gives_the_inbox_back_though_more_is_said() {
    let server = start(paused(AGES)).await;
    keep(&server, "7", 1).await;
    let mut first = raw(&server, "7").await;
    until(&mut first, "\"s\":1").await;
    server.app.emit_to_user("7", "N", &2).unwrap();
    until(&mut first, "\"d\":2").await;
    // Told, and live: on its way, and never answered for.
    keep(&server, "7", 3).await;
    until(&mut first, "\"d\":3").await;
    first.send(&frame(0x8a, b"kept\0\0\0\0\0\0\0\x01")).await;
    let mut second = come(&server, "7").await;
    assert_eq!(second.next().await, missed(3, 1));
}

#[tokio::test]
async fn what_was_told_as_having_waited_and_is_heard_late_is_not_told_again() {
    let server = start(MesaSettings::default()).await;
    for n in 1..=2 {
        keep(&server, "7", n).await;
    }
    let waiting = look(&server, "7").await.messages;
    let mut peer = come(&server, "7").await;
    for n in 1..=2 {
        assert_eq!(peer.next().await, missed(n, n));
    }
    // By that it answers the ping behind them.
    peer.silent().await.unwrap();
    for waiting in waiting {
        let content = Content::Stored { number: waiting.number, event: waiting.event };
        let audience = Target::user("7").unwrap().into();
        let project = server.app.project_id().clone();
        server.app.hub().receive(Publication { project, audience, content });
    }
    keep(&server, "7", 3).await;
    assert_eq!(peer.next().await, live(3));
}

#[tokio::test]
async fn a_message_larger_than_an_outbox_arrives_and_waits_no_more() {
    let inbox = Arc::new(DiskInbox::in_memory(InboxLimits { bytes_max: 1 << 20, ..InboxLimits::default() }));
    let mut limits = Limits::default();
    limits.outbox_bytes_max = 64 * 1024;
    let app = App::new().with_inbox(inbox).with_mesa(Mesa::new()).with_verifier(verify).with_limits(limits);
    let server = TestServer::start(app).await;
    let large = &*"x".repeat(100_000);
    for data in [large, "small", large] {
        keep(&server, "7", data).await;
    }
    let mut peer = come(&server, "7").await;
    for (s, data) in [large, "small", large].into_iter().enumerate() {
        assert_eq!(peer.next().await, json!({ "op": 0, "d": data, "t": "N", "s": s + 1 }));
    }
    peer.silent().await.expect("it stays connected");
    soon("nothing waits", async {
        while !look(&server, "7").await.messages.is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// An inbox that does not answer the first who open it.
struct Refusing {
    inbox: Arc<DiskInbox>,
    refusals: AtomicUsize,
}

impl Inbox for Refusing {
    fn start(&self, receiver: Weak<dyn Receiver>) {
        self.inbox.start(receiver);
    }

    fn put<'a>(
        &'a self,
        project: &'a ProjectId,
        users: &'a [UserId],
        event: &'a Event,
    ) -> StoreFuture<'a, Stored> {
        self.inbox.put(project, users, event)
    }

    fn open<'a>(
        &'a self,
        project: &'a ProjectId,
        user: &'a UserId,
        socket: SocketId,
        after: Option<MessageNumber>,
        most: usize,
    ) -> StoreFuture<'a, InboxPage> {
        let refuses = |left: usize| left.checked_sub(1);
        if self.refusals.fetch_update(Ordering::Relaxed, Ordering::Relaxed, refuses).is_ok() {
            return Box::pin(async { Err(StoreError("it is late".into())) });
        }
        self.inbox.open(project, user, socket, after, most)
    }

    fn acknowledge(&self, project: &ProjectId, user: &UserId, numbers: Vec<MessageNumber>) {
        self.inbox.acknowledge(project, user, numbers);
    }

    fn release(&self, project: &ProjectId, user: &UserId, socket: SocketId) {
        self.inbox.release(project, user, socket);
    }

    fn clear<'a>(&'a self, project: &'a ProjectId, user: &'a UserId) -> StoreFuture<'a, ()> {
        self.inbox.clear(project, user)
    }
}

#[tokio::test]
async fn what_could_not_be_read_at_a_login_is_told_shortly_after() {
    let refusing = Arc::new(Refusing { inbox: inbox(), refusals: AtomicUsize::new(0) });
    let app = App::new().with_inbox(refusing.clone()).with_mesa(Mesa::new()).with_verifier(verify);
    let server = TestServer::start(app).await;
    keep(&server, "7", 1).await;
    // When it is looked at, when it is to be told, and once more.
    refusing.refusals.store(3, Ordering::Relaxed);
    let mut peer = come(&server, "7").await;
    assert_eq!(peer.next().await, missed(1, 1));
    assert_eq!(refusing.refusals.load(Ordering::Relaxed), 0);
}
