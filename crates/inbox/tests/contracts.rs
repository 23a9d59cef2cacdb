//! The inbox in a file keeps the contract of every inbox.

use std::sync::Arc;

use switchboard_hub::{Inbox, InboxLimits, LocalBus, MemoryStore};
use switchboard_inbox::DiskInbox;
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
async fn nothing_waits_longer_than_it_may() {
    let scratch = Scratch::new();
    contract::inbox::age(&node(), &inbox(&scratch, contract::inbox::BRIEF)).await;
}
