//! Redelivery to Mesa clients, and frames that clients send during it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde_json::json;
use switchboard::backplane::{
    BackplaneError, BackplaneFuture, Content, Event, Inbox, InboxLimits, InboxPage, MessageNumber,
    Publication, Receiver, StoredMessage,
};
use switchboard::protocols::MesaSettings;
use switchboard::{App, Limits, Mesa, ProjectId, SocketId, Stored, Target, UserId};
use switchboard_disk::DiskInbox;
use switchboard_testkit::raw::frame;
use switchboard_testkit::{Peer, TestServer, until};
use tokio::sync::Semaphore;

use crate::support::{
    connect_as, connect_raw_as, dispatch, inbox_page, live, log_in, login_message, read_until, redelivered,
    until_inbox, until_inbox_is_empty, verify,
};

/// Longer than any wait of a test.
const LONG: Duration = Duration::from_secs(60);

fn inbox() -> Arc<DiskInbox> {
    Arc::new(DiskInbox::in_memory(InboxLimits::default()))
}

fn with_redelivery_interval(redelivery_interval: Duration) -> MesaSettings {
    MesaSettings { redelivery_interval, ..MesaSettings::default() }
}

async fn start(settings: MesaSettings) -> TestServer {
    start_with(inbox(), settings).await
}

async fn start_with(inbox: Arc<DiskInbox>, settings: MesaSettings) -> TestServer {
    let mesa = Mesa::new().with_settings(settings);
    TestServer::start(App::new().with_inbox(inbox).with_mesa(mesa).with_verifier(verify)).await
}

/// The oldest stored message of a user whose inbox a socket holds.
async fn oldest(server: &TestServer, user: &str) -> Option<MessageNumber> {
    inbox_page(server, user).await.oldest
}

#[tokio::test]
async fn more_messages_than_an_outbox_holds_are_redelivered_after_one_login() {
    let server = start(MesaSettings::default()).await;
    let large = "x".repeat(300 * 1024);
    for n in 1..=3 {
        dispatch(&server, "7", (n, &large)).await;
    }
    let mut peer = connect_as(&server, "7").await;
    for n in 1..=3 {
        let frame = peer.next().await;
        assert_eq!((&frame["s"], &frame["d"][0]), (&json!(n), &json!(n)));
    }
    peer.silent().await.unwrap();
    until_inbox_is_empty(&server, "7").await;
}

#[tokio::test]
async fn a_client_that_answers_heartbeats_stays_connected_during_a_long_redelivery() {
    let settings = MesaSettings {
        heartbeat_interval: Some(Duration::from_millis(100)),
        heartbeat_attempts_max: 2,
        ..with_redelivery_interval(Duration::from_millis(20))
    };
    let server = start(settings).await;
    for n in 1..=60 {
        dispatch(&server, "7", n).await;
    }
    let mut peer = connect_as(&server, "7").await;
    let (mut messages, mut heartbeats) = (Vec::new(), 0);
    let read = async {
        loop {
            match peer.next().await {
                frame if frame["op"] == 1 => {
                    heartbeats += 1;
                    peer.send(&json!({ "op": 11, "d": {} })).await;
                }
                frame => messages.push(frame),
            }
        }
    };
    tokio::select! {
        () = until_inbox_is_empty(&server, "7") => {}
        () = read => {}
    }
    assert_eq!(messages, (1..=60).map(|n| redelivered(n, n)).collect::<Vec<_>>());
    assert!(heartbeats > 4, "{heartbeats} heartbeats; without answers the fourth would be a close");
}

#[tokio::test]
async fn a_client_is_answered_during_redelivery() {
    let server = start(with_redelivery_interval(LONG)).await;
    dispatch(&server, "7", 1).await;
    dispatch(&server, "7", 2).await;
    let mut peer = connect_as(&server, "7").await;
    assert_eq!(peer.next().await, redelivered(1, 1));
    peer.send(&json!({ "op": 1 })).await;
    assert_eq!(peer.next().await, json!({ "op": 11, "d": {} }));
    server.app.emit_to_user("7", "N", &3).unwrap();
    peer.silent().await.expect("live messages wait for the redelivery");
    peer.send_close(1000).await;
    assert_eq!(peer.closed().await.0, 1000, "the server answers the close");
}

#[tokio::test]
async fn a_client_that_closes_during_redelivery_receives_the_rest_at_its_next_login() {
    let inbox = inbox();
    let slow = start_with(inbox.clone(), with_redelivery_interval(LONG)).await;
    for n in 1..=4 {
        dispatch(&slow, "7", n).await;
    }
    let mut peer = connect_as(&slow, "7").await;
    let first = oldest(&slow, "7").await;
    assert_eq!(peer.next().await, redelivered(1, 1));
    peer.silent().await.unwrap();
    until_inbox(&slow, "7", "the first message is acknowledged", |page| page.oldest != first).await;
    peer.send_close(1000).await;
    peer.closed().await;
    let fast = start_with(inbox, MesaSettings::default()).await;
    let mut again = connect_as(&fast, "7").await;
    for (number, n) in (2..=4).enumerate() {
        assert_eq!(again.next().await, redelivered(n, number + 1));
    }
    again.silent().await.unwrap();
    until_inbox_is_empty(&fast, "7").await;
}

#[tokio::test]
async fn a_second_login_during_redelivery_continues_with_the_rest() {
    let server = start(with_redelivery_interval(LONG)).await;
    for n in 1..=3 {
        dispatch(&server, "7", n).await;
    }
    let mut peer = connect_as(&server, "7").await;
    assert_eq!(peer.next().await, redelivered(1, 1));
    server.app.emit_to_user("7", "N", &4).unwrap();
    for n in 2..=3 {
        log_in(&mut peer, "7").await;
        assert_eq!(peer.next().await, redelivered(n, 1));
    }
    assert_eq!(peer.next().await, live(4), "the redelivery is complete");
    peer.silent().await.unwrap();
    until_inbox_is_empty(&server, "7").await;
}

/// Sends a login and reads to its reply (op 22). Redelivered messages before the reply continue from `count`;
/// returns the last number.
async fn log_in_again(peer: &mut Peer, user: &str, mut count: usize) -> usize {
    peer.send(&login_message(user, true)).await;
    loop {
        let frame = peer.next().await;
        if frame["op"] == 22 {
            return count;
        }
        count += 1;
        assert_eq!(frame, redelivered(count, count));
    }
}

#[tokio::test]
async fn two_consecutive_logins_redeliver_each_message_once_and_in_order() {
    let server = start(with_redelivery_interval(Duration::from_millis(10))).await;
    for n in 1..=30 {
        dispatch(&server, "7", n).await;
    }
    let mut peer = connect_as(&server, "7").await;
    assert_eq!(peer.next().await, redelivered(1, 1));
    let before = log_in_again(&mut peer, "7", 1).await;
    assert!(before < 30, "the second login comes before the end of the redelivery");
    for n in before + 1..=30 {
        assert_eq!(peer.next().await, redelivered(n, n - before));
    }
    peer.silent().await.unwrap();
    until_inbox_is_empty(&server, "7").await;
}

#[tokio::test]
async fn no_message_of_the_previous_user_follows_the_next_login_reply() {
    let server = start(with_redelivery_interval(Duration::from_millis(10))).await;
    for n in 1..=30 {
        dispatch(&server, "7", n).await;
        dispatch(&server, "8", n + 100).await;
    }
    let mut peer = connect_as(&server, "7").await;
    assert_eq!(peer.next().await, redelivered(1, 1));
    let before = log_in_again(&mut peer, "8", 1).await;
    assert!(before < 30, "the second login comes before the end of the redelivery");
    for n in 1..=30 {
        assert_eq!(peer.next().await, redelivered(n + 100, n));
    }
    peer.silent().await.unwrap();
    let mut other = connect_as(&server, "7").await;
    for n in before + 1..=30 {
        assert_eq!(other.next().await, redelivered(n, n - before));
    }
}

#[tokio::test]
async fn a_client_that_logs_in_as_another_user_receives_its_messages_and_releases_the_first_inbox() {
    let server = start(with_redelivery_interval(LONG)).await;
    for n in 1..=2 {
        dispatch(&server, "7", n).await;
        dispatch(&server, "8", n + 10).await;
    }
    let mut peer = connect_as(&server, "7").await;
    let first = oldest(&server, "7").await;
    assert_eq!(peer.next().await, redelivered(1, 1));
    peer.silent().await.unwrap();
    until_inbox(&server, "7", "the first message is acknowledged", |page| page.oldest != first).await;
    log_in(&mut peer, "8").await;
    assert_eq!(peer.next().await, redelivered(11, 1));
    peer.silent().await.expect("the next message follows after the interval");
    let mut other = connect_as(&server, "7").await;
    assert_eq!(other.next().await, redelivered(2, 1), "the inbox is released");
    peer.silent().await.unwrap();
}

#[tokio::test]
async fn a_login_without_sync_during_redelivery_deletes_the_rest_and_live_messages_follow() {
    let server = start(with_redelivery_interval(LONG)).await;
    for n in 1..=2 {
        dispatch(&server, "7", n).await;
    }
    let mut peer = connect_as(&server, "7").await;
    assert_eq!(peer.next().await, redelivered(1, 1));
    peer.send(&login_message("7", false)).await;
    assert_eq!(peer.next().await["op"], 22);
    dispatch(&server, "7", 3).await;
    assert_eq!(peer.next().await, live(3));
    peer.silent().await.unwrap();
    until_inbox_is_empty(&server, "7").await;
}

#[tokio::test]
async fn shutdown_does_not_wait_for_a_redelivery() {
    let mut server = start(with_redelivery_interval(LONG)).await;
    for n in 1..=2 {
        dispatch(&server, "7", n).await;
    }
    let mut peer = connect_as(&server, "7").await;
    assert_eq!(peer.next().await, redelivered(1, 1));
    server.begin_stop();
    assert_eq!(peer.closed().await.0, 1012);
    drop(peer);
    let before = tokio::time::Instant::now();
    server.stopped().await;
    assert!(before.elapsed() < Duration::from_secs(5), "shorter than the shutdown timeout");
}

#[tokio::test]
async fn a_second_device_waits_while_the_first_acknowledges() {
    // In total longer than the 2 s after which an unresponsive device loses the inbox.
    let server = start(with_redelivery_interval(Duration::from_millis(50))).await;
    for n in 1..=60 {
        dispatch(&server, "7", n).await;
    }
    let mut first = connect_as(&server, "7").await;
    assert_eq!(first.next().await, redelivered(1, 1));
    let mut second = connect_as(&server, "7").await;
    for n in 2..=60 {
        assert_eq!(first.next().await, redelivered(n, n));
    }
    first.silent().await.unwrap();
    dispatch(&server, "7", 61).await;
    assert_eq!(first.next().await, live(61));
    let frame = second.next().await;
    assert_eq!(frame["d"], 61, "the first device has received all others");
}

#[tokio::test]
async fn a_client_releases_the_inbox_after_redelivery_although_live_messages_follow() {
    let server = start(with_redelivery_interval(LONG)).await;
    dispatch(&server, "7", 1).await;
    let mut first = connect_raw_as(&server, "7").await;
    read_until(&mut first, "\"s\":1").await;
    server.app.emit_to_user("7", "N", &2).unwrap();
    read_until(&mut first, "\"d\":2").await;
    // A live message that is in flight and never acknowledged.
    dispatch(&server, "7", 3).await;
    read_until(&mut first, "\"d\":3").await;
    first.send(&frame(0x8a, b"kept\0\0\0\0\0\0\0\x01")).await;
    let mut second = connect_as(&server, "7").await;
    assert_eq!(second.next().await, redelivered(3, 1));
}

#[tokio::test]
async fn a_redelivered_message_that_also_arrives_live_is_sent_once() {
    let server = start(MesaSettings::default()).await;
    for n in 1..=2 {
        dispatch(&server, "7", n).await;
    }
    let stored = inbox_page(&server, "7").await.messages;
    let mut peer = connect_as(&server, "7").await;
    for n in 1..=2 {
        assert_eq!(peer.next().await, redelivered(n, n));
    }
    // This also answers the ping that follows the messages, which acknowledges them.
    peer.silent().await.unwrap();
    for message in stored {
        let content = Content::Stored { number: message.number, event: message.event };
        let audience = Target::user("7").unwrap().into();
        let project = server.app.project_id().clone();
        server.app.hub().receive(Publication { project, audience, content });
    }
    dispatch(&server, "7", 3).await;
    assert_eq!(peer.next().await, live(3));
}

#[tokio::test]
async fn a_message_larger_than_an_outbox_is_redelivered_and_deleted() {
    let inbox = Arc::new(DiskInbox::in_memory(InboxLimits { bytes_max: 1 << 20, ..InboxLimits::default() }));
    let mut limits = Limits::default();
    limits.outbox_bytes_max = 64 * 1024;
    let app = App::new().with_inbox(inbox).with_mesa(Mesa::new()).with_verifier(verify).with_limits(limits);
    let server = TestServer::start(app).await;
    let large = &*"x".repeat(100_000);
    for data in [large, "small", large] {
        dispatch(&server, "7", data).await;
    }
    let mut peer = connect_as(&server, "7").await;
    for (s, data) in [large, "small", large].into_iter().enumerate() {
        assert_eq!(peer.next().await, json!({ "op": 0, "d": data, "t": "N", "s": s + 1 }));
    }
    peer.silent().await.expect("the client stays connected");
    until("no message is stored", async || inbox_page(&server, "7").await.messages.is_empty()).await;
}

/// An inbox that a test obstructs.
struct ObstructedInbox {
    inbox: Arc<DiskInbox>,
    /// The next calls of `open` that fail.
    failures: AtomicUsize,
    /// Calls of `open` need a permit.
    may_open: Semaphore,
    /// How many calls of `open` have begun, and how many of `release`.
    opened: AtomicUsize,
    released: AtomicUsize,
}

impl ObstructedInbox {
    fn new(open_permits: usize) -> Arc<Self> {
        Arc::new(ObstructedInbox {
            inbox: inbox(),
            failures: AtomicUsize::new(0),
            may_open: Semaphore::new(open_permits),
            opened: AtomicUsize::new(0),
            released: AtomicUsize::new(0),
        })
    }
}

async fn start_obstructed(inbox: &Arc<ObstructedInbox>) -> TestServer {
    let app = App::new().with_inbox(inbox.clone()).with_mesa(Mesa::new()).with_verifier(verify);
    TestServer::start(app).await
}

impl Inbox for ObstructedInbox {
    fn start(&self, receiver: Weak<dyn Receiver>) {
        self.inbox.start(receiver);
    }

    fn put<'a>(
        &'a self,
        project: &'a ProjectId,
        users: &'a [UserId],
        event: &'a Event,
    ) -> BackplaneFuture<'a, Stored> {
        self.inbox.put(project, users, event)
    }

    fn open<'a>(
        &'a self,
        project: &'a ProjectId,
        user: &'a UserId,
        socket: SocketId,
        after: Option<MessageNumber>,
        max: usize,
    ) -> BackplaneFuture<'a, InboxPage> {
        let decrement = |left: usize| left.checked_sub(1);
        if self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, decrement).is_ok() {
            return Box::pin(async { Err(BackplaneError("the store is unavailable".into())) });
        }
        self.opened.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            let _permit = self.may_open.acquire().await.expect("it is never closed");
            self.inbox.open(project, user, socket, after, max).await
        })
    }

    fn peek<'a>(
        &'a self,
        project: &'a ProjectId,
        user: &'a UserId,
        after: Option<MessageNumber>,
        limit: usize,
    ) -> BackplaneFuture<'a, Vec<StoredMessage>> {
        self.inbox.peek(project, user, after, limit)
    }

    fn acknowledge(&self, project: &ProjectId, user: &UserId, numbers: Vec<MessageNumber>) {
        self.inbox.acknowledge(project, user, numbers);
    }

    fn release(&self, project: &ProjectId, user: &UserId, socket: SocketId) {
        self.inbox.release(project, user, socket);
        self.released.fetch_add(1, Ordering::Relaxed);
    }

    fn clear<'a>(&'a self, project: &'a ProjectId, user: &'a UserId) -> BackplaneFuture<'a, ()> {
        self.inbox.clear(project, user)
    }
}

#[tokio::test]
async fn a_failed_read_of_the_inbox_at_login_is_retried() {
    let failing = ObstructedInbox::new(Semaphore::MAX_PERMITS);
    let server = start_obstructed(&failing).await;
    dispatch(&server, "7", 1).await;
    // The login reads twice, the peek at the oldest message and the first page; one retry follows.
    failing.failures.store(3, Ordering::Relaxed);
    let mut peer = connect_as(&server, "7").await;
    assert_eq!(peer.next().await, redelivered(1, 1));
    assert_eq!(failing.failures.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_late_read_of_the_inbox_delivers_each_message_once_and_the_stored_ones_in_order() {
    let failing = ObstructedInbox::new(Semaphore::MAX_PERMITS);
    let server = start_obstructed(&failing).await;
    for n in 1..=3 {
        dispatch(&server, "7", n).await;
    }
    // The login reads twice; of the three reads that follow, only the last one succeeds.
    failing.failures.store(4, Ordering::Relaxed);
    let mut peer = connect_as(&server, "7").await;
    // Live messages do not wait for the inbox. They are stored too, and must not arrive again.
    dispatch(&server, "7", 4).await;
    assert_eq!(peer.next().await, live(4));
    for n in 1..=3 {
        assert_eq!(peer.next().await, redelivered(n, n));
    }
    assert_eq!(failing.failures.load(Ordering::Relaxed), 0);
    peer.silent().await.expect("no message arrives twice");
    until("no message is stored", async || inbox_page(&server, "7").await.messages.is_empty()).await;
}

#[tokio::test]
async fn a_socket_that_takes_the_turn_after_its_connection_ended_gives_it_back() {
    let inbox = ObstructedInbox::new(0);
    let server = start_obstructed(&inbox).await;
    dispatch(&server, "7", 1).await;
    let leaving = connect_raw_as(&server, "7").await;
    until("the login opens the inbox", async || inbox.opened.load(Ordering::Relaxed) == 1).await;
    // The server closes it, because a client that logs in is not read meanwhile.
    let id = server.app.hub().index().all_sessions()[0].id;
    server.app.socket(id).unwrap().close(1000, "");
    drop(leaving);
    until("the connection is removed", async || server.app.hub().index().is_empty()).await;
    let released = inbox.released.load(Ordering::Relaxed);
    inbox.may_open.add_permits(1);
    until("the turn is given back", async || inbox.released.load(Ordering::Relaxed) > released).await;
}

#[tokio::test]
async fn a_user_that_is_set_offline_gives_the_turn_back_while_its_socket_stays_connected() {
    let server = start(with_redelivery_interval(LONG)).await;
    for n in 1..=3 {
        dispatch(&server, "7", n).await;
    }
    let mut offline = connect_raw_as(&server, "7").await;
    read_until(&mut offline, "\"s\":1").await;
    assert!(inbox_page(&server, "7").await.held_by.is_some());
    assert_eq!(server.app.set_user_offline("7").await.unwrap(), 1);
    let page = inbox_page(&server, "7").await;
    assert_eq!((page.held_by, page.messages.len()), (None, 3));
    assert_eq!(server.app.hub().index().all_sessions().len(), 1);
}
