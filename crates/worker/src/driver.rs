//! The task of a worker: it claims partitions, reads their reports, and writes acknowledgements and replies.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use switchboard_redis::ConnectError;
use switchboard_redis::worker::{FirstConnection, GroupConnection, ReportReader, WorkerError, WorkerSession};
use tokio::time::{Instant, sleep_until, timeout};

use crate::assignment::HELD_MAX;
use crate::delivery::EntryKey;
use crate::shared::Shared;

/// How long a read blocks while the streams are empty. Short, since partitions that are claimed meanwhile are
/// only included in the next read.
const READ_BLOCK: Duration = Duration::from_millis(200);

/// The pause after an empty read while some partition is full. Such a read does not block, because the full
/// partition may have space at any time.
const FULL_PAUSE: Duration = Duration::from_millis(20);

/// The task before its first connection is in use.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    first: FirstConnection,
}

impl Driver {
    pub(crate) async fn connect(shared: &Arc<Shared>) -> Result<Self, ConnectError> {
        let first = shared.client.connect(&DriverSession { shared: shared.clone() }).await?;
        Ok(Driver { shared: shared.clone(), first })
    }

    /// Runs until the worker has left, and reconnects after every lost connection.
    pub(crate) async fn run(self) {
        let Driver { shared, first } = self;
        shared.client.clone().run(first, DriverSession { shared: shared.clone() }).await;
        shared.left.cancel();
    }
}

/// The work on one connection, called by the supervised connection loop of `switchboard-redis`.
struct DriverSession {
    shared: Arc<Shared>,
}

impl WorkerSession for DriverSession {
    fn on_group_change(&self) -> Box<dyn Fn() + Send + Sync> {
        let group_changed = self.shared.group_changed.clone();
        Box::new(move || group_changed.notify_one())
    }

    async fn serve(&mut self, group: GroupConnection, mut reader: ReportReader) -> Result<(), WorkerError> {
        let shared = &*self.shared;
        shared.assignment().rewind_all();
        tokio::select! {
            ended = claim_and_write(shared, &group) => ended,
            ended = read(shared, &mut reader) => ended,
        }
    }

    fn disconnected(&mut self) -> ControlFlow<()> {
        self.shared.first_claim_ended.cancel();
        self.shared.assignment().check_lease(Instant::now());
        if self.shared.leaving.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Renews the claim and writes acknowledgements and replies until the worker has left.
async fn claim_and_write(shared: &Shared, group: &GroupConnection) -> Result<(), WorkerError> {
    let mut renew_at = Instant::now();
    while !shared.leaving.is_cancelled() {
        write(shared, group).await?;
        if renew_at <= Instant::now() || !shared.assignment().releasable().is_empty() {
            renew_at = Instant::now() + shared.client.renew_interval();
            claim(shared, group).await?;
        }
        tokio::select! {
            () = shared.to_write.notified() => {}
            () = shared.group_changed.notified() => renew_at = Instant::now(),
            () = sleep_until(renew_at) => {}
            () = shared.leaving.cancelled() => {}
        }
    }
    leave(shared, group).await
}

/// Renews the lease, releases partitions, and takes over those that the group assigns to this worker.
async fn claim(shared: &Shared, group: &GroupConnection) -> Result<(), WorkerError> {
    let released = shared.assignment().releasable();
    // The lease counts from before the request, since Redis may have renewed it at any time after.
    let requested = Instant::now();
    let claim = group.claim(&released).await?;
    shared.assignment().apply_claim(&claim, &released, requested + shared.client.config().lease);
    shared.first_claim_ended.cancel();
    shared.space_freed.notify_one();
    Ok(())
}

/// Writes replies, then acknowledgements: clients wait for the replies.
async fn write(shared: &Shared, group: &GroupConnection) -> Result<(), WorkerError> {
    shared.replies.send(async |replies| group.reply(replies).await).await?;
    let acknowledged: Vec<EntryKey> = shared.assignment().acknowledged().to_vec();
    if !acknowledged.is_empty() {
        group.acknowledge(&acknowledged).await?;
        shared.assignment().removed(&acknowledged);
    }
    Ok(())
}

/// Waits for the reports in progress, at most the leave time-out, and leaves the group. The lease is renewed
/// in the meantime.
async fn leave(shared: &Shared, group: &GroupConnection) -> Result<(), WorkerError> {
    let finished = timeout(shared.leave_timeout, async {
        let mut renew_at = Instant::now();
        while shared.assignment().any_in_progress() {
            write(shared, group).await?;
            if renew_at <= Instant::now() {
                renew_at = Instant::now() + shared.client.renew_interval();
                claim(shared, group).await?;
            }
            tokio::select! {
                () = shared.to_write.notified() => {}
                () = sleep_until(renew_at) => {}
            }
        }
        Ok::<_, WorkerError>(())
    });
    if let Ok(finished) = finished.await {
        finished?;
    }
    write(shared, group).await?;
    let settled = shared.assignment().settled();
    group.leave(&settled).await
}

/// Reads reports into the assignment until the connection fails.
async fn read(shared: &Shared, reader: &mut ReportReader) -> Result<(), WorkerError> {
    loop {
        let (fetches, any_full) = shared.assignment().fetches();
        if fetches.is_empty() {
            shared.space_freed.notified().await;
            continue;
        }
        let after: Vec<EntryKey> = fetches.iter().map(|fetch| (fetch.partition, fetch.after)).collect();
        let block = (!any_full).then_some(READ_BLOCK);
        let entries = reader.read(&after, HELD_MAX / 2, block).await?;
        if entries.is_empty() {
            if any_full {
                let _ = timeout(FULL_PAUSE, shared.space_freed.notified()).await;
            }
            continue;
        }
        let any_acknowledged = {
            let mut assignment = shared.assignment();
            assignment.add(&fetches, entries);
            !assignment.acknowledged().is_empty()
        };
        if any_acknowledged {
            shared.to_write.notify_one();
        }
        shared.ready.notify_waiters();
    }
}
