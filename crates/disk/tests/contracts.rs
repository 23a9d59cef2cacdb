//! The contract tests of every inbox and every history, on those on disk.

use std::sync::Arc;

use switchboard_backplane::{
    History, Inbox, InboxLimits, LocalBus, MemoryHistoryLimits, MemoryStore, RevocationStore, contract,
};
use switchboard_disk::{DiskHistory, DiskInbox};
use switchboard_event::{Event, Name, Payload, ProjectId, SocketId, UserId};
use switchboard_testkit::Node;
use switchboard_testkit::Scratch;

fn node() -> Node {
    Node::new(Arc::new(LocalBus::default()), |index| Arc::new(MemoryStore::new(index)))
}

fn inbox(scratch: &Scratch, limits: InboxLimits) -> Arc<dyn Inbox> {
    Arc::new(DiskInbox::open(scratch.file("inbox").as_ref(), limits).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_stored_until_they_are_acknowledged() {
    let scratch = Scratch::new();
    contract::inbox::messages(&node(), &inbox(&scratch, InboxLimits::default())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_inboxes_and_projects_keep_their_limits() {
    let scratch = Scratch::new();
    contract::inbox::bounds(&node(), &inbox(&scratch, contract::inbox::TIGHT)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stored_messages_match_the_model_under_random_operations() {
    for seed in 1..=4 {
        let scratch = Scratch::new();
        contract::inbox_model::random_operations(
            &node(),
            &inbox(&scratch, contract::inbox_model::SMALL),
            seed,
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_expire_after_the_age_limit() {
    let scratch = Scratch::new();
    contract::inbox::age(&node(), &inbox(&scratch, contract::inbox::BRIEF)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revocations_are_stored_beside_the_messages_and_outlive_the_process() {
    let scratch = Scratch::new();
    let open = || DiskInbox::open(scratch.file("inbox").as_ref(), InboxLimits::default()).unwrap();
    let inbox = open();
    contract::revocations::revocations(&inbox, &inbox).await;
    let before = inbox.load().await.unwrap().len();
    drop(inbox);
    assert_eq!(open().load().await.unwrap().len(), before);
}

fn message() -> Event {
    Event { name: Name::new("N").unwrap(), data: Payload::EMPTY, sender: None, time_ms: 0, trace: None }
}

#[tokio::test]
async fn an_acknowledged_message_is_not_returned_by_the_next_open() {
    let (project, user) = (ProjectId::new("p").unwrap(), UserId::new("7").unwrap());
    let inbox = DiskInbox::in_memory(InboxLimits::default());
    let (phone, tablet) = (SocketId::random(), SocketId::random());
    for _ in 0..20 {
        let stored = inbox.put(&project, std::slice::from_ref(&user), &message()).await.unwrap();
        let messages = inbox.open(&project, &user, phone, None, 10).await.unwrap().messages;
        assert_eq!(messages.iter().map(|message| message.number).collect::<Vec<_>>(), [stored.number]);
        inbox.acknowledge(&project, &user, vec![stored.number]);
        assert!(inbox.open(&project, &user, tablet, None, 10).await.unwrap().messages.is_empty());
    }
}

#[test]
fn a_call_after_the_end_of_the_runtime_returns_an_error() {
    let (project, users) = (ProjectId::new("p").unwrap(), [UserId::new("7").unwrap()]);
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    let inbox = runtime().block_on(async { DiskInbox::in_memory(InboxLimits::default()) });
    let error = runtime().block_on(inbox.put(&project, &users, &message())).unwrap_err();
    assert!(error.0.to_string().contains("the runtime in which it was opened has ended"), "{}", error.0);
    assert!(!inbox.is_up());
}

fn history(scratch: &Scratch) -> Arc<dyn History> {
    let clock = || switchboard_event::unix_ms(std::time::SystemTime::now());
    let path = scratch.file("history");
    Arc::new(DiskHistory::open(path.as_ref(), MemoryHistoryLimits::default(), clock).unwrap())
}

#[tokio::test]
async fn the_disk_history_meets_the_history_contract() {
    let scratch = Scratch::new();
    let history = history(&scratch);
    contract::history::messages(&history).await;
    contract::history::bounds(&history).await;
    contract::history::age(&history).await;
}

#[tokio::test]
async fn the_disk_history_behaves_like_the_model() {
    for seed in 0..20 {
        let scratch = Scratch::new();
        contract::history_model::random_operations(&history(&scratch), seed).await;
    }
}
