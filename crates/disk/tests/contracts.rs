//! The inbox in a file keeps the contract of every inbox.

use std::sync::Arc;

use switchboard_backplane::{Inbox, InboxLimits, LocalBus, MemoryStore};
use switchboard_disk::DiskInbox;
use switchboard_event::{Event, Name, Payload, SocketId};
use switchboard_testkit::Scratch;
use switchboard_testkit::contract::{self, Node};

fn node() -> Node {
    Node::new(Arc::new(LocalBus::default()), |index| Arc::new(MemoryStore::new(index)))
}

fn inbox(scratch: &Scratch, limits: InboxLimits) -> Arc<dyn Inbox> {
    Arc::new(DiskInbox::open(scratch.file("inbox").as_ref(), limits).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_wait_for_users() {
    let scratch = Scratch::new();
    contract::inbox::messages(&node(), &inbox(&scratch, InboxLimits::default())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_waits_than_may() {
    let scratch = Scratch::new();
    contract::inbox::bounds(&node(), &inbox(&scratch, contract::inbox::TIGHT)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_what_was_put_and_has_not_arrived_whatever_was_done() {
    for seed in 1..=4 {
        let scratch = Scratch::new();
        contract::inbox_model::at_random(&node(), &inbox(&scratch, contract::inbox_model::SNUG), seed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_waits_longer_than_it_may() {
    let scratch = Scratch::new();
    contract::inbox::age(&node(), &inbox(&scratch, contract::inbox::BRIEF)).await;
}

fn message() -> Event {
    Event { name: Name::new("N").unwrap(), data: Payload::EMPTY, sender: None, time_ms: 0 }
}

#[tokio::test]
async fn who_opens_is_not_told_what_was_confirmed_a_moment_ago() {
    let (project, user) = (Name::new("p").unwrap(), Name::new("7").unwrap());
    let inbox = DiskInbox::in_memory(InboxLimits::default());
    let (phone, tablet) = (SocketId::random(), SocketId::random());
    for _ in 0..20 {
        let kept = inbox.put(&project, std::slice::from_ref(&user), &message()).await.unwrap();
        let waiting = inbox.open(&project, &user, phone, None, 10).await.unwrap().messages;
        assert_eq!(waiting.iter().map(|message| message.number).collect::<Vec<_>>(), [kept.number]);
        inbox.acknowledge(&project, &user, vec![kept.number]);
        assert!(inbox.open(&project, &user, tablet, None, 10).await.unwrap().messages.is_empty());
    }
}

#[test]
fn who_asks_after_the_runtime_has_ended_is_told_so() {
    let (project, users) = (Name::new("p").unwrap(), [Name::new("7").unwrap()]);
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    let inbox = runtime().block_on(async { DiskInbox::in_memory(InboxLimits::default()) });
    let error = runtime().block_on(inbox.put(&project, &users, &message())).unwrap_err();
    assert!(error.0.to_string().contains("the runtime it was opened in"), "{}", error.0);
    assert!(!inbox.is_up());
}
