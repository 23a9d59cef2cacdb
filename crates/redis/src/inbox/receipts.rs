//! Receipts that are not written to Redis yet: acknowledged messages, and sockets that release an inbox.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard};

use metrics::{Counter, Gauge, counter, gauge};
use switchboard_event::{MessageNumber, ProjectId, SocketId, UserId};
use tokio::sync::Notify;

use super::scripts::{InboxScripts, inbox_call};
use crate::connection::Batch;
use crate::names::Names;

/// Maximum number of receipts in one call, so that no call is long.
const CALL_MAX: usize = 64;

/// A receipt for one user's inbox. Writing it twice has no further effect.
pub(super) struct Receipt {
    pub(super) user: UserId,
    /// Acknowledged messages.
    pub(super) numbers: Vec<MessageNumber>,
    /// Total size of those messages, if they are known to be consecutive in the inbox.
    pub(super) bytes: Option<u64>,
    /// The socket that releases the inbox.
    pub(super) released: Option<SocketId>,
}

/// Queued receipts, in their order, bounded in bytes. At the bound a receipt is dropped: its messages are delivered
/// again, or the inbox stays taken until its socket is gone.
pub(super) struct ReceiptQueue {
    queue: Mutex<Queue>,
    filled: Notify,
    bytes_max: usize,
    queued_bytes: Gauge,
    dropped: Counter,
}

#[derive(Default)]
struct Queue {
    queued: VecDeque<(ProjectId, Receipt)>,
    bytes: usize,
    /// Number of receipts so far.
    count: u64,
}

/// Receipts that are being written.
#[derive(Default)]
pub(super) struct ReceiptBatch {
    pub(super) receipts: Vec<(ProjectId, Receipt)>,
    /// Number of receipts up to the last of these.
    pub(super) count: u64,
}

impl ReceiptQueue {
    pub(super) fn new(bytes_max: usize) -> Self {
        ReceiptQueue {
            queue: Mutex::default(),
            filled: Notify::new(),
            bytes_max,
            queued_bytes: gauge!("switchboard_queue_bytes", "queue" => "receipts"),
            dropped: counter!("switchboard_inbox_receipts_dropped_total"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("no code that holds the queue panics")
    }

    pub(super) fn push(&self, project: &ProjectId, receipt: Receipt) {
        let bytes = receipt.bytes(project);
        let mut queue = self.lock();
        if queue.bytes + bytes > self.bytes_max {
            return self.dropped.increment(1);
        }
        queue.count += 1;
        queue.bytes += bytes;
        self.queued_bytes.set(queue.bytes as f64);
        queue.queued.push_back((project.clone(), receipt));
        if queue.queued.len() == 1 {
            self.filled.notify_one();
        }
    }

    /// Number of receipts so far.
    pub(super) fn count(&self) -> u64 {
        self.lock().count
    }

    /// Takes up to `max` receipts.
    pub(super) fn take(&self, max: usize) -> ReceiptBatch {
        let mut queue = self.lock();
        let taken = queue.queued.len().min(max);
        let receipts: Vec<_> = queue.queued.drain(..taken).collect();
        queue.bytes -= receipts.iter().map(|(project, receipt)| receipt.bytes(project)).sum::<usize>();
        self.queued_bytes.set(queue.bytes as f64);
        ReceiptBatch { receipts, count: queue.count - queue.queued.len() as u64 }
    }

    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }
}

impl ReceiptBatch {
    /// The calls that write them. Receipts of one project keep their order.
    pub(super) fn batch(&self, names: &Names, scripts: &InboxScripts) -> Batch {
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
    /// Approximate size in the queue.
    fn bytes(&self, project: &ProjectId) -> usize {
        size_of::<(ProjectId, Receipt)>() + project.len() + self.user.len() + size_of_val(&*self.numbers)
    }

    fn args(&self) -> [Vec<u8>; 4] {
        let released = self.released.map(|socket| socket.as_bytes().to_vec()).unwrap_or_default();
        let numbers = self.numbers.iter().flat_map(|number| number.0.to_be_bytes()).collect();
        let bytes = self.bytes.map(|bytes| bytes.to_string().into_bytes()).unwrap_or_default();
        [self.user.as_bytes().to_vec(), released, numbers, bytes]
    }
}
