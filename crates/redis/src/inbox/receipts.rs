//! What sockets have, and have let go of, and Redis does not know yet.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard};

use metrics::{Counter, counter};
use switchboard_event::{MessageNumber, ProjectId, SocketId, UserId};
use tokio::sync::Notify;

use super::inbox_call;
use super::scripts::Scripts;
use crate::connection::Batch;
use crate::names::Names;

/// Most receipts in one call, so that it is short.
const CALL_MAX: usize = 64;

/// What was said of one user's inbox. It may be written twice.
pub(super) struct Receipt {
    pub(super) user: UserId,
    /// These arrived.
    pub(super) numbers: Vec<MessageNumber>,
    /// How many bytes they have, if they stood next to one another in the inbox.
    pub(super) bytes: Option<u64>,
    /// This one gives the inbox back.
    pub(super) released: Option<SocketId>,
}

/// The receipts that wait, in their order. What is dropped at the bound costs nothing but a message
/// delivered again, or an inbox that is given on only when its socket has gone.
pub(super) struct Receipts {
    queue: Mutex<Queue>,
    filled: Notify,
    most: usize,
    cut: Counter,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<(ProjectId, Receipt)>,
    /// How many numbers wait.
    numbers: usize,
    /// How many receipts there were so far.
    count: u64,
}

/// Receipts that are being written.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) receipts: Vec<(ProjectId, Receipt)>,
    /// How many there were up to the last of these.
    pub(super) count: u64,
}

impl Receipts {
    pub(super) fn new(most: usize) -> Self {
        Receipts {
            queue: Mutex::default(),
            filled: Notify::new(),
            most,
            cut: counter!("switchboard_inbox_receipts_cut_total"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("no code that holds the queue panics")
    }

    pub(super) fn push(&self, project: &ProjectId, receipt: Receipt) {
        let mut queue = self.lock();
        if queue.waiting.len() >= self.most || queue.numbers + receipt.numbers.len() > self.most {
            return self.cut.increment(1);
        }
        queue.count += 1;
        queue.numbers += receipt.numbers.len();
        queue.waiting.push_back((project.clone(), receipt));
        if queue.waiting.len() == 1 {
            self.filled.notify_one();
        }
    }

    /// How many receipts there were.
    pub(super) fn count(&self) -> u64 {
        self.lock().count
    }

    /// Up to `most` of those that wait.
    pub(super) fn take(&self, most: usize) -> Taken {
        let mut queue = self.lock();
        let taken = queue.waiting.len().min(most);
        let receipts: Vec<_> = queue.waiting.drain(..taken).collect();
        queue.numbers -= receipts.iter().map(|(_, receipt)| receipt.numbers.len()).sum::<usize>();
        Taken { receipts, count: queue.count - queue.waiting.len() as u64 }
    }

    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }
}

impl Taken {
    /// The calls that write them. Those of one project keep their order.
    pub(super) fn batch(&self, names: &Names, scripts: &Scripts) -> Batch {
        let mut projects: HashMap<&ProjectId, Vec<&Receipt>> = HashMap::new();
        for (project, receipt) in &self.receipts {
            projects.entry(project).or_default().push(receipt);
        }
        let mut batch = Batch::default();
        for (project, receipts) in projects {
            let names = names.project(project);
            for receipts in receipts.chunks(CALL_MAX) {
                let args: Vec<Vec<u8>> = receipts.iter().flat_map(|receipt| receipt.args()).collect();
                let args: Vec<&[u8]> = args.iter().map(|arg| &**arg).collect();
                batch.push(names.base(), inbox_call(&scripts.receipts, &names, &[], &args));
            }
        }
        batch
    }
}

impl Receipt {
    fn args(&self) -> [Vec<u8>; 4] {
        let released = self.released.map(|socket| socket.as_bytes().to_vec()).unwrap_or_default();
        let numbers = self.numbers.iter().flat_map(|number| number.0.to_be_bytes()).collect();
        let bytes = self.bytes.map(|bytes| bytes.to_string().into_bytes()).unwrap_or_default();
        [self.user.as_bytes().to_vec(), released, numbers, bytes]
    }
}
