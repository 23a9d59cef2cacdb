//! Messages that wait for users: kept, told to who comes, and over when they have surely arrived.

use std::sync::Arc;

use serde_json::json;
use switchboard::{
    App, Data, EmitError, Event, Inbox, InboxLimits, Koji, Mesa, Name, Payload, ProjectId, Reply, ReplyError,
    Socket, SocketId, Target, UserId,
};
use switchboard_disk::DiskInbox;
use switchboard_testkit::{KojiPeer, Scratch, TestServer, soon};

use crate::inbox_support::{come, connect, emptied, keep, live, login, missed, raw, until, verify};

async fn start() -> TestServer {
    let app = App::new().with_inbox(Arc::new(DiskInbox::in_memory(InboxLimits::default())));
    let app = app.with_mesa(Mesa::new()).with_koji(Koji::new()).with_verifier(verify);
    TestServer::start(app.on("/login", enter)).await
}

async fn enter(socket: Socket, Data(user): Data<String>) -> Result<Reply<bool>, ReplyError> {
    Ok(Reply(socket.login(&user)?))
}

#[tokio::test]
async fn who_comes_is_told_in_order_what_was_missed_and_only_once() {
    let server = start().await;
    for n in 1..=3 {
        keep(&server, "7", n).await;
    }
    let mut peer = come(&server, "7").await;
    for n in 1..=3 {
        assert_eq!(peer.next().await, missed(n, n));
    }
    keep(&server, "7", 4).await;
    assert_eq!(peer.next().await, live(4));
    peer.silent().await.unwrap();
    emptied(&server, "7").await;
    let mut again = come(&server, "7").await;
    again.silent().await.unwrap();
}

#[tokio::test]
async fn more_than_a_page_is_told_in_order_and_before_what_is_live() {
    let server = start().await;
    for n in 1..=250 {
        keep(&server, "7", n).await;
    }
    let mut peer = connect(&server).await;
    peer.send(&login("7", true)).await;
    assert_eq!(peer.next().await["op"], 22);
    // It is one of the user's sockets now, and is being told.
    server.app.emit_to_user("7", "N", &251).unwrap();
    keep(&server, "7", 252).await;
    for n in 1..=250 {
        assert_eq!(peer.next().await, missed(n, n));
    }
    assert_eq!(peer.next().await, live(251));
    assert_eq!(peer.next().await, live(252));
    peer.silent().await.unwrap();
}

#[tokio::test]
async fn what_a_connection_did_not_confirm_is_told_to_the_next() {
    let server = start().await;
    keep(&server, "7", 1).await;
    let mut mute = raw(&server, "7").await;
    until(&mut mute, "\"s\":1").await;
    // A live one that is not confirmed either.
    keep(&server, "7", 2).await;
    until(&mut mute, "\"d\":2").await;
    drop(mute);
    let mut next = come(&server, "7").await;
    assert_eq!(next.next().await, missed(1, 1));
    assert_eq!(next.next().await, missed(2, 2));
    next.silent().await.unwrap();
    emptied(&server, "7").await;
}

#[tokio::test]
async fn who_comes_waits_for_one_that_is_being_told_and_takes_over_from_one_that_does_not_answer() {
    let server = start().await;
    keep(&server, "7", 1).await;
    let mut mute = raw(&server, "7").await;
    until(&mut mute, "\"s\":1").await;
    let mut next = connect(&server).await;
    next.send(&login("7", true)).await;
    let sevens = Target::user("7").unwrap().into();
    soon("the next is one of the user's", async {
        while server.app.hub().members(server.app.project_id(), &sevens).len() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    keep(&server, "7", 2).await;
    assert_eq!(next.next().await["op"], 22);
    assert_eq!(next.next().await, missed(1, 1));
    assert_eq!(next.next().await, missed(2, 2));
    next.silent().await.unwrap();
    emptied(&server, "7").await;
    until(&mut mute, "\"d\":2").await;
}

#[tokio::test]
async fn who_does_not_want_what_was_missed_drops_it() {
    let server = start().await;
    keep(&server, "7", 1).await;
    let mut peer = connect(&server).await;
    peer.send(&login("7", false)).await;
    assert_eq!(peer.next().await["op"], 22);
    peer.silent().await.unwrap();
    emptied(&server, "7").await;
    keep(&server, "7", 2).await;
    assert_eq!(peer.next().await, live(2));
}

#[tokio::test]
async fn every_socket_of_the_user_hears_it_once_through_whatever_door() {
    let server = start().await;
    let mut mesa = come(&server, "7").await;
    let mut koji = KojiPeer::join(&server, "projectId=default&authorization=7").await;
    let mut emit = server.peer().await;
    assert_eq!(emit.request("/login", json!("7")).await, true);
    server.app.broadcast("hello", &json!({})).unwrap();
    assert_eq!(mesa.next().await["t"], "hello");
    assert_eq!(emit.next_event().await.0, "hello");
    let users = [Target::user("7").unwrap(), Target::user("7").unwrap()];
    let kept = server.app.to(users).dispatch("N", &1).await.unwrap();
    assert_eq!(kept.inboxes, 1, "named twice, kept once");
    assert_eq!(mesa.next().await, live(1));
    assert_eq!(emit.next_event().await, ("N".to_owned(), json!(1)));
    assert_eq!(koji.next_event().await.0, "hello");
    assert_eq!(koji.next_event().await.0, "N");
    koji.quiet().await;
    mesa.silent().await.unwrap();
    emit.silent().await.unwrap();
}

#[tokio::test]
async fn an_emit_socket_that_logs_in_is_told_before_its_own_reply_and_what_is_live() {
    let app = App::new().with_inbox(Arc::new(DiskInbox::in_memory(InboxLimits::default()))).on(
        "/login",
        async |socket: Socket| {
            socket.login("7").unwrap();
            socket.emit("live", &2).unwrap();
        },
    );
    let server = TestServer::start(app).await;
    keep(&server, "7", 1).await;
    let mut peer = server.peer().await;
    peer.emit("/login", json!({})).await;
    assert_eq!(peer.next_event().await, ("N".to_owned(), json!(1)));
    assert_eq!(peer.next_event().await, ("live".to_owned(), json!(2)));
}

#[tokio::test]
async fn only_users_can_be_waited_for_and_only_where_there_is_an_inbox() {
    let server = start().await;
    let room = server.app.to("#lobby").dispatch("N", &1).await;
    assert!(matches!(room, Err(EmitError::NotAUser(Target::Room(_)))), "{room:?}");
    let muted = server.app.to(Target::user("7").unwrap()).except("*muted").dispatch("N", &1).await;
    assert!(matches!(muted, Err(EmitError::NotAUser(Target::Tag(_)))), "{muted:?}");
    let except = server.app.to([Target::user("7").unwrap(), Target::user("8").unwrap()]);
    let kept = except.except(Target::user("8").unwrap()).dispatch("N", &1).await.unwrap();
    assert_eq!(kept.inboxes, 1);
    come(&server, "8").await.silent().await.unwrap();
    let nowhere = App::new().to(Target::user("7").unwrap()).dispatch("N", &1).await;
    assert!(matches!(nowhere, Err(EmitError::NoInbox)));
}

#[tokio::test]
async fn what_waits_survives_the_process() {
    let scratch = Scratch::new();
    let path = scratch.file("inbox.redb");
    let (project, user) = (ProjectId::new("default").unwrap(), UserId::new("7").unwrap());
    let event =
        Event { name: Name::new("N").unwrap(), data: Payload::parse("1").unwrap(), sender: None, time_ms: 0 };
    let first = DiskInbox::open(path.as_ref(), InboxLimits::default()).unwrap();
    let number = first.put(&project, std::slice::from_ref(&user), &event).await.unwrap().number;
    let again = DiskInbox::open(path.as_ref(), InboxLimits::default()).err().map(|error| error.to_string());
    assert!(again.unwrap().contains("in use by another process"));
    drop(first);
    let second = DiskInbox::open(path.as_ref(), InboxLimits::default()).unwrap();
    let waiting = second.open(&project, &user, SocketId::random(), None, 10).await.unwrap().messages;
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].number, number);
    assert!(second.put(&project, &[user], &event).await.unwrap().number > number);
    std::fs::write(scratch.file("text"), "no inbox").unwrap();
    assert!(DiskInbox::open(scratch.file("text").as_ref(), InboxLimits::default()).is_err());
}
