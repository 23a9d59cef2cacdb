//! Restarts, crashes and damage. The contract tests are in `tests/contracts.rs`.

use std::sync::atomic::AtomicU64;

use switchboard_event::{Event, Name, Payload, Target};
use switchboard_testkit::{Scratch, name, until};

use super::*;

static NOW_MS: AtomicU64 = AtomicU64::new(1_000_000);

fn now_ms() -> u64 {
    NOW_MS.load(Ordering::Relaxed)
}

fn open(path: &str) -> DiskHistory {
    DiskHistory::open(path.as_ref(), MemoryHistoryLimits::default(), now_ms).unwrap()
}

fn limits() -> HistoryLimits {
    HistoryLimits { messages_max: 3, ..HistoryLimits::default() }
}

fn append(history: &DiskHistory, room: &str, text: &str) -> Option<Position> {
    let data = Payload::of(text).unwrap();
    let event = Event { name: Name::new("said").unwrap(), data, sender: None, time_ms: 5, trace: None };
    let (project, room) = (name("p"), name(room));
    let except = [Target::user("7").unwrap()];
    let message = RoomMessage { project: &project, room: &room, except: &except, event: &event };
    let mut delivered = None;
    history.append(message, &limits(), &mut |position| delivered = Some(position));
    delivered
}

async fn page(history: &DiskHistory, room: &str) -> Result<HistoryPage, BackplaneError> {
    history.read(&name("p"), &name(room), &limits(), HistoryRange::Latest, 99).await
}

/// The texts of the messages that are kept.
async fn texts(history: &DiskHistory, room: &str) -> Vec<String> {
    let page = page(history, room).await.unwrap();
    page.messages.iter().map(|message| message.event.data.to().unwrap()).collect()
}

#[tokio::test]
async fn an_orderly_restart_continues_numbers_and_epochs_and_keeps_messages() {
    let scratch = Scratch::new();
    let path = scratch.file("history.redb");
    let history = open(&path);
    for n in 1..=5 {
        append(&history, "r", &format!("m{n}"));
    }
    append(&history, "cleared", "gone");
    history.clear(&name("p"), &name("cleared")).await.unwrap();
    let before = page(&history, "r").await.unwrap();
    drop(history);
    let history = open(&path);
    let after = page(&history, "r").await.unwrap();
    assert_eq!((after.top_position(), after.first), (before.top_position(), 3));
    assert_eq!(format!("{:?}", after.messages), format!("{:?}", before.messages));
    assert_eq!(texts(&history, "cleared").await, [""; 0]);
    let next = append(&history, "r", "m6").unwrap();
    assert_eq!(next, Position { offset: 6, ..before.top_position() });
    drop(history);
    assert_eq!(texts(&open(&path), "r").await, ["m4", "m5", "m6"]);
}

#[tokio::test]
async fn after_a_crash_the_messages_are_kept_and_every_room_begins_an_epoch() {
    let scratch = Scratch::new();
    let path = scratch.file("history.redb");
    let history = open(&path);
    let before = append(&history, "r", "m1").unwrap();
    // An orderly restart in between, so that the message is in the file.
    drop(history);
    let history = open(&path);
    let crashed = scratch.file("crashed.redb");
    std::fs::copy(&path, &crashed).unwrap();
    drop(history);
    let history = open(&crashed);
    assert_eq!(texts(&history, "r").await, ["m1"]);
    let after = page(&history, "r").await.unwrap();
    assert_ne!(after.epoch, before.epoch);
    assert!(!after.continues(before));
    assert_eq!(append(&history, "r", "m2").unwrap(), Position { epoch: after.epoch, offset: 2 });
    drop(history);
    let page = page(&open(&crashed), "r").await.unwrap();
    assert_eq!((page.epoch, page.top), (after.epoch, 2), "the new epoch is kept over an orderly restart");
}

#[tokio::test]
async fn a_damaged_file_is_moved_aside_and_a_lost_one_begins_epochs() {
    let scratch = Scratch::new();
    let path = scratch.file("history.redb");
    let history = open(&path);
    let first = append(&history, "r", "m1").unwrap();
    drop(history);
    let intact = std::fs::read(&path).unwrap();
    let contents = [b"no history".to_vec(), vec![0; 4096], intact[..5000].to_vec(), intact[1..].to_vec()];
    for (n, contents) in contents.iter().enumerate() {
        std::fs::write(&path, contents).unwrap();
        let history = open(&path);
        assert_eq!(std::fs::read(format!("{path}.damaged")).unwrap(), *contents, "{n}");
        let position = append(&history, "r", "m1").unwrap();
        assert_eq!(position.offset, 1);
        assert_ne!(position.epoch, first.epoch);
    }
    std::fs::remove_file(&path).unwrap();
    assert_ne!(append(&open(&path), "r", "m1").unwrap().epoch, first.epoch);
}

#[tokio::test]
async fn a_changed_byte_never_changes_a_message_or_a_number() {
    let scratch = Scratch::new();
    let path = scratch.file("history.redb");
    let history = open(&path);
    for n in 1..=3 {
        append(&history, "r", &format!("message number {n}"));
    }
    let expected = texts(&history, "r").await;
    let top = page(&history, "r").await.unwrap().top_position();
    drop(history);
    let intact = std::fs::read(&path).unwrap();
    let used: Vec<usize> = (0..intact.len()).filter(|at| intact[*at] != 0).collect();
    for at in used.iter().step_by(used.len() / 40) {
        let mut changed = intact.clone();
        changed[*at] ^= 4;
        std::fs::write(&path, changed).unwrap();
        let history = open(&path);
        let page = page(&history, "r").await.unwrap();
        if page.epoch == top.epoch {
            assert_eq!((page.top, texts(&history, "r").await), (top.offset, expected.clone()), "byte {at}");
        }
    }
}

#[tokio::test]
async fn one_process_opens_a_file() {
    let scratch = Scratch::new();
    let path = scratch.file("history.redb");
    let history = open(&path);
    let second = DiskHistory::open(path.as_ref(), MemoryHistoryLimits::default(), now_ms);
    assert!(matches!(second, Err(HistoryOpenError::InUse(_))));
    drop(history);
    open(&path);
    let nowhere = scratch.file("no/such/folder/history.redb");
    let refused = DiskHistory::open(nowhere.as_ref(), MemoryHistoryLimits::default(), now_ms);
    assert!(matches!(refused, Err(HistoryOpenError::Unusable { .. })));
}

#[tokio::test]
async fn after_a_failure_messages_have_no_positions_and_then_every_room_begins_an_epoch() {
    let scratch = Scratch::new();
    let path = scratch.file("history.redb");
    let history = open(&path);
    let before = append(&history, "r", "m1").unwrap();
    assert!(history.shared.fail());
    // Wakes the writer, which finds the failure.
    history.push(Job::Sweep);
    assert_eq!(append(&history, "r", "lost"), None);
    assert!(page(&history, "r").await.is_err() && !history.is_up());
    until("the history recovers", async || history.is_up()).await;
    let after = append(&history, "r", "m2").unwrap();
    assert_eq!(after.offset, 1);
    assert_ne!(after.epoch, before.epoch);
    drop(history);
    let history = open(&path);
    assert_eq!(texts(&history, "r").await, ["m2"]);
    assert_eq!(page(&history, "r").await.unwrap().epoch, after.epoch);
}

#[tokio::test]
async fn a_closed_history_numbers_nothing() {
    let scratch = Scratch::new();
    let history = open(&scratch.file("history.redb"));
    history.close();
    history.close();
    assert_eq!(append(&history, "r", "m"), None);
    assert!(!history.is_up());
}
