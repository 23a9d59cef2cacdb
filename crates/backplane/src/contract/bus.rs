//! The contract tests of [`Bus`](crate::Bus).

use std::sync::mpsc;

use bytes::Bytes;
use switchboard_event::{Audience, ProjectId, SocketId, Target};

use super::support::{event, name};
use super::{TestNode, TestSocket};
use crate::Content;

/// Tests the delivery between two nodes on connected buses. `settle` waits until every publication has arrived.
pub async fn delivery<N: TestNode>(one: &N, two: &N, settle: impl AsyncFn()) {
    let (a, b): (ProjectId, ProjectId) = (name("a"), name("b"));
    let room = Target::room("lobby").expect("a short name");
    let user = Target::user("7").expect("a short name");
    let (near, far, stranger) = (one.connect(&a), two.connect(&a), two.connect(&b));
    for (node, socket) in [(one, &near), (two, &far), (two, &stranger)] {
        node.join(socket, &room);
    }
    two.join(&far, &user);
    settle().await;
    let send = |audience: Audience, name: &str| one.send(&a, &audience, event(name));
    let rooms: Vec<String> = (0..20).map(|n| format!("room{n}")).collect();
    rooms.iter().for_each(|name| send(room.clone().into(), name));
    send(Target::Everyone.into(), "everyone");
    send(user.clone().into(), "user");
    send(Target::Socket(far.id()).into(), "socket");
    send(Audience::from(room.clone()).and(user).and(Target::Everyone), "once");
    send(Audience::everyone().except(far.id()), "except");
    one.send_locally(&a, &room.clone().into(), event("local"));
    settle().await;
    let with_rooms =
        |others: &[&str]| [rooms.clone(), others.iter().map(ToString::to_string).collect()].concat();
    assert_eq!(far.received(), with_rooms(&["everyone", "user", "socket", "once"]));
    assert_eq!(near.received(), with_rooms(&["everyone", "once", "except", "local"]));
    assert!(stranger.received().is_empty(), "no event crosses projects: {:?}", stranger.received());

    two.leave(&far, &room);
    settle().await;
    send(room.into(), "left");
    settle().await;
    assert!(!far.received().contains(&"left".to_owned()));
    a_publication_for_a_socket_reaches_its_node(one, two, far.id(), &settle).await;
}

/// The node receives it if it has any socket in the project.
async fn a_publication_for_a_socket_reaches_its_node<N: TestNode>(
    one: &N,
    two: &N,
    socket: SocketId,
    settle: &impl AsyncFn(),
) {
    let (sender, received) = mpsc::channel();
    two.listen(Box::new(move |publication| {
        let _ = sender.send(publication.project.to_string());
    }));
    for project in ["empty", "b", "a"] {
        let content = Content::Control(Bytes::from_static(b"content"));
        one.publish(&name(project), &Target::Socket(socket).into(), content).expect("the bus is connected");
    }
    settle().await;
    let mut received: Vec<String> = received.try_iter().collect();
    // Projects may be on different Redis servers, so their order is undefined.
    received.sort();
    assert_eq!(received, ["a", "b"], "every project with a socket on the node");
}
