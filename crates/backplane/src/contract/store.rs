//! The contract tests of presence in a [`Store`].

use bytes::Bytes;
use switchboard_event::{ProjectId, RoomName, SocketId, Target, UserId};

use super::support::name;
use super::{TestNode, TestSocket};
use crate::{Page, SeatRequest, Seated, Store};

async fn count(store: &dyn Store, project: &ProjectId, target: &Target) -> usize {
    store.count(project, target).await.expect("the store replies")
}

/// Tests that a store reflects the memberships on a node. `settle` waits until it does.
pub async fn presence<N: TestNode>(node: &N, settle: impl AsyncFn()) {
    let (a, b): (ProjectId, ProjectId) = (name("a"), name("b"));
    memberships_are_counted_and_listed(node, &a, &b, &settle).await;
    rooms_are_listed_by_prefix_while_they_have_members(node, &settle).await;
    a_seat_request_with_a_description_records_presence(node, &settle).await;
}

async fn memberships_are_counted_and_listed<N: TestNode>(
    node: &N,
    a: &ProjectId,
    b: &ProjectId,
    settle: &impl AsyncFn(),
) {
    let store = &**node.store();
    let (room, tag) = (Target::room("r").expect("short"), Target::tag("t").expect("short"));
    let (seven, eight) = (Target::user("7").expect("short"), Target::user("8").expect("short"));
    assert_eq!(count(store, a, &Target::Everyone).await, 0, "an unknown project is empty");
    let members: Vec<N::Socket> = (0..5).map(|_| node.connect(a)).collect();
    let other = node.connect(b);
    for member in &members[..3] {
        node.join(member, &room);
        node.join(member, &seven);
    }
    node.join(&members[3], &tag);
    node.join(&members[3], &eight);
    node.join(&other, &room);
    settle().await;
    assert_eq!(count(store, a, &Target::Everyone).await, 5);
    assert_eq!((count(store, a, &room).await, count(store, b, &room).await), (3, 1));
    assert_eq!((count(store, a, &tag).await, count(store, a, &seven).await), (1, 3));
    let socket = Target::Socket(members[0].id());
    assert_eq!((count(store, a, &socket).await, count(store, b, &socket).await), (1, 0), "of one project");

    let mut ids: Vec<SocketId> = members.iter().map(TestSocket::id).collect();
    ids.sort();
    assert_eq!(in_pages_of_two(store, a).await, ids, "pages together are the whole list, in order");
    assert_eq!(store.count_users(a).await.expect("the store replies"), 2);
    assert_eq!(users(store, a).await, ["7", "8"]);

    node.disconnect(&members[0]);
    node.leave(&members[1], &seven);
    settle().await;
    assert_eq!(count(store, a, &seven).await, 1, "a user is online until the last socket leaves");
    node.disconnect(&members[2]);
    node.disconnect(&members[2]);
    settle().await;
    assert_eq!((count(store, a, &seven).await, count(store, a, &room).await), (0, 1));
    assert_eq!(users(store, a).await, ["8"]);
    members.iter().for_each(|member| node.disconnect(member));
    settle().await;
    assert_eq!((count(store, a, &Target::Everyone).await, count(store, b, &Target::Everyone).await), (0, 1));
}

async fn rooms_are_listed_by_prefix_while_they_have_members<N: TestNode>(node: &N, settle: &impl AsyncFn()) {
    let (store, project, other): (_, ProjectId, ProjectId) =
        (&**node.store(), name("rooms"), name("other rooms"));
    let [first, second, third] = [&project, &project, &other].map(|project| node.connect(project));
    let room = |name: &str| Target::room(name).expect("short");
    for name in ["a", "chat", "chat-1", "chat-2", "chaz", "chä", "z"] {
        node.join(&first, &room(name));
    }
    node.join(&first, &Target::tag("chat-tag").expect("short"));
    node.join(&second, &room("chat-2"));
    node.join(&third, &room("chat-3"));
    settle().await;
    let list = async |prefix: &str, after: Option<&str>, limit| -> Vec<RoomName> {
        let page = Page { after: after.map(|after| RoomName::new(after).expect("short")), limit };
        store.rooms(&project, prefix, page).await.expect("the store replies")
    };
    assert_eq!(list("#", None, 100).await, ["#a", "#chat", "#chat-1", "#chat-2", "#chaz", "#chä", "#z"]);
    assert_eq!(list("#chat", None, 100).await, ["#chat", "#chat-1", "#chat-2"]);
    assert_eq!(list("#chat", Some("#chat"), 1).await, ["#chat-1"]);
    assert_eq!(list("#chat", Some("#a"), 2).await, ["#chat", "#chat-1"], "a place before the prefix");
    assert_eq!(list("#chat", Some("#z"), 2).await, [""; 0], "a place behind the prefix");
    assert_eq!(list("#x", None, 100).await, [""; 0]);
    node.disconnect(&first);
    settle().await;
    assert_eq!(list("#", None, 100).await, ["#chat-2"], "a room exists while it has a member");
    node.disconnect(&second);
    node.disconnect(&third);
    settle().await;
    assert_eq!(list("#", None, 100).await, [""; 0]);
}

async fn in_pages_of_two(store: &dyn Store, project: &ProjectId) -> Vec<SocketId> {
    let mut members = Vec::new();
    loop {
        let page = Page { after: members.last().copied(), limit: 2 };
        let more = store.members(project, &Target::Everyone, page).await.expect("the store replies");
        if more.is_empty() {
            return members;
        }
        members.extend(more);
    }
}

async fn users(store: &dyn Store, project: &ProjectId) -> Vec<UserId> {
    store.users(project, Page::all()).await.expect("the store replies")
}

/// Presence is recorded once and removed entirely, in any order of calls.
async fn a_seat_request_with_a_description_records_presence<N: TestNode>(node: &N, settle: &impl AsyncFn()) {
    let (store, project, shard) = (&**node.store(), name("arrivals"), name("s"));
    let room = Target::shard(&shard);
    let counts = async || {
        settle().await;
        let shards = store.shards(&project).await.expect("the store replies");
        let seated: usize = shards.iter().map(|shard| shard.seated).sum();
        (count(store, &project, &Target::Everyone).await, count(store, &project, &room).await, seated)
    };
    let ids = [0; 4].map(|_| SocketId::on(node.id()));
    for id in ids {
        let description = Some(Bytes::from_static(b"{}"));
        let request = SeatRequest { description, ..super::seats::request(id, Some("s"), 9) };
        let seated = store.take_seat(&project, request).await.expect("the store replies");
        assert_eq!(seated, Seated::In(shard.clone()));
    }
    let [first, second, third, never_connected] = ids;
    let members = [first, second, third].map(|id| node.connect_as(&project, id));
    members[..2].iter().for_each(|member| node.join(member, &room));
    store.leave_seat(&project, &shard, never_connected);
    // This one connected and did not join the room.
    store.leave_seat(&project, &shard, third);
    assert_eq!(counts().await, (3, 2, 2));
    node.disconnect(&members[0]);
    assert_eq!(counts().await, (2, 1, 2));
    store.leave_seat(&project, &shard, first);
    store.leave_seat(&project, &shard, second);
    assert_eq!(counts().await, (2, 1, 0), "a socket may stay connected without a seat");
    node.leave(&members[1], &room);
    node.join(&members[1], &room);
    assert_eq!(counts().await, (2, 1, 0));
    members[1..].iter().for_each(|member| node.disconnect(member));
    assert_eq!(counts().await, (0, 0, 0));
}
