//! Stored messages: redelivered at login, and deleted when the client has acknowledged them.

use std::sync::Arc;

use serde_json::json;
use switchboard::backplane::{Event, Inbox, InboxLimits};
use switchboard::{
    App, Data, EmitError, Koji, Mesa, Name, Payload, ProjectId, Reply, ReplyError, Socket, SocketId, Target,
    UserId,
};
use switchboard_disk::DiskInbox;
use switchboard_testkit::{KojiPeer, Scratch, TestServer, until};

use crate::support::{
    connect, connect_as, connect_raw_as, dispatch, live, login_message, read_until, redelivered,
    until_inbox_is_empty, verify,
};

async fn start() -> TestServer {
    let app = App::new().with_inbox(Arc::new(DiskInbox::in_memory(InboxLimits::default())));
    let app = app.with_mesa(Mesa::new()).with_koji(Koji::new()).with_verifier(verify);
    TestServer::start(app.on("/login", log_in_emit_socket)).await
}

async fn log_in_emit_socket(socket: Socket, Data(user): Data<String>) -> Result<Reply<bool>, ReplyError> {
    Ok(Reply(socket.login(&user)?))
}

#[tokio::test]
async fn stored_messages_are_redelivered_once_and_in_order_at_login() {
    let server = start().await;
    for n in 1..=3 {
        dispatch(&server, "7", n).await;
    }
    let mut peer = connect_as(&server, "7").await;
    for n in 1..=3 {
        assert_eq!(peer.next().await, redelivered(n, n));
    }
    dispatch(&server, "7", 4).await;
    assert_eq!(peer.next().await, live(4));
    peer.silent().await.unwrap();
    until_inbox_is_empty(&server, "7").await;
    let mut again = connect_as(&server, "7").await;
    again.silent().await.unwrap();
}

#[tokio::test]
async fn more_than_a_page_of_messages_is_redelivered_in_order_before_live_messages() {
    let server = start().await;
    for n in 1..=250 {
        dispatch(&server, "7", n).await;
    }
    let mut peer = connect(&server).await;
    peer.send(&login_message("7", true)).await;
    assert_eq!(peer.next().await["op"], 22);
    // The login has succeeded, so live messages queue behind the redelivered ones.
    server.app.emit_to_user("7", "N", &251).unwrap();
    dispatch(&server, "7", 252).await;
    for n in 1..=250 {
        assert_eq!(peer.next().await, redelivered(n, n));
    }
    assert_eq!(peer.next().await, live(251));
    assert_eq!(peer.next().await, live(252));
    peer.silent().await.unwrap();
}

#[tokio::test]
async fn unacknowledged_messages_are_redelivered_to_the_next_connection() {
    let server = start().await;
    dispatch(&server, "7", 1).await;
    let mut unresponsive = connect_raw_as(&server, "7").await;
    read_until(&mut unresponsive, "\"s\":1").await;
    // A live message that is not acknowledged either.
    dispatch(&server, "7", 2).await;
    read_until(&mut unresponsive, "\"d\":2").await;
    drop(unresponsive);
    let mut next = connect_as(&server, "7").await;
    assert_eq!(next.next().await, redelivered(1, 1));
    assert_eq!(next.next().await, redelivered(2, 2));
    next.silent().await.unwrap();
    until_inbox_is_empty(&server, "7").await;
}

#[tokio::test]
async fn a_second_device_takes_the_inbox_over_when_the_first_does_not_acknowledge() {
    let server = start().await;
    dispatch(&server, "7", 1).await;
    let mut unresponsive = connect_raw_as(&server, "7").await;
    read_until(&mut unresponsive, "\"s\":1").await;
    let mut next = connect(&server).await;
    next.send(&login_message("7", true)).await;
    let user = Target::user("7").unwrap().into();
    until("the second device is logged in", async || {
        server.app.hub().members(server.app.project_id(), &user).len() == 2
    })
    .await;
    dispatch(&server, "7", 2).await;
    assert_eq!(next.next().await["op"], 22);
    assert_eq!(next.next().await, redelivered(1, 1));
    assert_eq!(next.next().await, redelivered(2, 2));
    next.silent().await.unwrap();
    until_inbox_is_empty(&server, "7").await;
    read_until(&mut unresponsive, "\"d\":2").await;
}

#[tokio::test]
async fn a_login_without_sync_deletes_the_stored_messages() {
    let server = start().await;
    dispatch(&server, "7", 1).await;
    let mut peer = connect(&server).await;
    peer.send(&login_message("7", false)).await;
    assert_eq!(peer.next().await["op"], 22);
    peer.silent().await.unwrap();
    until_inbox_is_empty(&server, "7").await;
    dispatch(&server, "7", 2).await;
    assert_eq!(peer.next().await, live(2));
}

#[tokio::test]
async fn a_dispatch_reaches_each_socket_of_the_user_once_on_every_protocol() {
    let server = start().await;
    let mut mesa = connect_as(&server, "7").await;
    let mut koji = KojiPeer::join(&server, "projectId=default&authorization=7").await;
    let mut emit = server.peer().await;
    assert_eq!(emit.request("/login", json!("7")).await, true);
    server.app.broadcast("hello", &json!({})).unwrap();
    assert_eq!(mesa.next().await["t"], "hello");
    assert_eq!(emit.next_event().await.0, "hello");
    let users = [Target::user("7").unwrap(), Target::user("7").unwrap()];
    let stored = server.app.to(users).dispatch("N", &1).await.unwrap();
    assert_eq!(stored.inboxes, 1, "a user that is named twice gets one copy");
    assert_eq!(mesa.next().await, live(1));
    assert_eq!(emit.next_event().await, ("N".to_owned(), json!(1)));
    assert_eq!(koji.next_event().await.0, "hello");
    assert_eq!(koji.next_event().await.0, "N");
    koji.quiet().await;
    mesa.silent().await.unwrap();
    emit.silent().await.unwrap();
}

#[tokio::test]
async fn stored_messages_arrive_before_the_login_reply_and_live_messages_of_an_emit_socket() {
    let app = App::new().with_inbox(Arc::new(DiskInbox::in_memory(InboxLimits::default()))).on(
        "/login",
        async |socket: Socket| {
            socket.login("7").unwrap();
            socket.emit("live", &2).unwrap();
        },
    );
    let server = TestServer::start(app).await;
    dispatch(&server, "7", 1).await;
    let mut peer = server.peer().await;
    peer.emit("/login", json!({})).await;
    assert_eq!(peer.next_event().await, ("N".to_owned(), json!(1)));
    assert_eq!(peer.next_event().await, ("live".to_owned(), json!(2)));
}

#[tokio::test]
async fn dispatch_needs_user_targets_and_an_inbox() {
    let server = start().await;
    let room = server.app.to("#lobby").dispatch("N", &1).await;
    assert!(matches!(room, Err(EmitError::NotAUser(Target::Room(_)))), "{room:?}");
    let excluding_a_tag = server.app.to(Target::user("7").unwrap()).except("*muted").dispatch("N", &1).await;
    assert!(matches!(excluding_a_tag, Err(EmitError::NotAUser(Target::Tag(_)))), "{excluding_a_tag:?}");
    let to_two_users = server.app.to([Target::user("7").unwrap(), Target::user("8").unwrap()]);
    let stored = to_two_users.except(Target::user("8").unwrap()).dispatch("N", &1).await.unwrap();
    assert_eq!(stored.inboxes, 1);
    connect_as(&server, "8").await.silent().await.unwrap();
    let without_inbox = App::new().to(Target::user("7").unwrap()).dispatch("N", &1).await;
    assert!(matches!(without_inbox, Err(EmitError::NoInbox)));
}

#[tokio::test]
async fn stored_messages_survive_a_restart_of_the_process() {
    let scratch = Scratch::new();
    let path = scratch.file("inbox.redb");
    let (project, user) = (ProjectId::new("default").unwrap(), UserId::new("7").unwrap());
    let event = Event {
        name: Name::new("N").unwrap(),
        data: Payload::parse("1").unwrap(),
        sender: None,
        time_ms: 0,
        trace: None,
    };
    let inbox = DiskInbox::open(path.as_ref(), InboxLimits::default()).unwrap();
    let number = inbox.put(&project, std::slice::from_ref(&user), &event).await.unwrap().number;
    let second_open =
        DiskInbox::open(path.as_ref(), InboxLimits::default()).err().map(|error| error.to_string());
    assert!(second_open.unwrap().contains("in use by another process"));
    drop(inbox);
    let inbox = DiskInbox::open(path.as_ref(), InboxLimits::default()).unwrap();
    let stored = inbox.open(&project, &user, SocketId::random(), None, 10).await.unwrap().messages;
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].number, number);
    assert!(inbox.put(&project, &[user], &event).await.unwrap().number > number);
    std::fs::write(scratch.file("text"), "no inbox").unwrap();
    assert!(DiskInbox::open(scratch.file("text").as_ref(), InboxLimits::default()).is_err());
}
