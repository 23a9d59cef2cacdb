//! The task of a worker: it claims partitions, reads their reports, and writes acknowledgements and replies.

use std::sync::Arc;
use std::time::Duration;

use switchboard_redis::ConnectError;
use switchboard_redis::work::{Desk, Reader, WorkError};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::assignment::HELD_MAX;
use crate::delivery::EntryKey;
use crate::shared::Shared;

/// How long a read blocks while the streams are empty. Short, since partitions that are claimed meanwhile are
/// only included in the next read.
const READ_BLOCK: Duration = Duration::from_millis(200);

/// The pause after an empty read while some partition is full. Such a read does not block, because the full
/// partition may get room at any time.
const FULL_PAUSE: Duration = Duration::from_millis(20);

/// The longest pause before a reconnect.
const RECONNECT_PAUSE_MAX: Duration = Duration::from_millis(1500);

/// A connection for commands, and one for reads that block.
pub(crate) type Connections = (Desk, Reader);

pub(crate) async fn connect(shared: &Shared) -> Result<Connections, ConnectError> {
    let group_changed = shared.group_changed.clone();
    shared.post.open(move || group_changed.notify_one()).await
}

/// Runs until the worker has left, and reconnects after every lost connection.
pub(crate) async fn drive(shared: Arc<Shared>, first: Connections) {
    let mut connected: Result<Connections, ConnectError> = Ok(first);
    loop {
        let ended = match connected {
            Ok(connections) => drive_connected(&shared, connections).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let Err(error) = ended else { break };
        tracing::warn!(error, "worker disconnected from Redis; no new reports until it reconnects");
        shared.assignment().check_lease(Instant::now());
        if shared.leaving.is_cancelled() {
            break;
        }
        sleep(RECONNECT_PAUSE_MAX.mul_f64(rand::random())).await;
        connected = connect(&shared).await;
    }
    shared.left.cancel();
}

/// Runs until the connections fail or the worker has left.
async fn drive_connected(shared: &Shared, (commands, mut reader): Connections) -> Result<(), WorkError> {
    shared.assignment().rewind_all();
    tokio::select! {
        error = commands.cut() => Err(error),
        ended = claim_and_write(shared, &commands) => ended,
        ended = read(shared, &mut reader) => ended,
    }
}

/// Renews the claim and writes acknowledgements and replies until the worker has left.
async fn claim_and_write(shared: &Shared, commands: &Desk) -> Result<(), WorkError> {
    let mut renew_at = Instant::now();
    while !shared.leaving.is_cancelled() {
        write(shared, commands).await?;
        if renew_at <= Instant::now() || !shared.assignment().releasable().is_empty() {
            renew_at = Instant::now() + shared.post.renew_every();
            claim(shared, commands).await?;
        }
        tokio::select! {
            () = shared.to_write.notified() => {}
            () = shared.group_changed.notified() => renew_at = Instant::now(),
            () = sleep_until(renew_at) => {}
            () = shared.leaving.cancelled() => {}
        }
    }
    leave(shared, commands).await
}

/// Renews the lease, releases partitions, and takes over those that the group assigns to this worker.
async fn claim(shared: &Shared, commands: &Desk) -> Result<(), WorkError> {
    let released = shared.assignment().releasable();
    // The lease counts from before the request, since Redis may have renewed it at any time after.
    let requested = Instant::now();
    let claim = commands.share(&released).await?;
    shared.assignment().apply_claim(&claim, &released, requested + shared.post.lease());
    shared.room.notify_one();
    Ok(())
}

/// Writes replies, then acknowledgements: clients wait for the replies.
async fn write(shared: &Shared, commands: &Desk) -> Result<(), WorkError> {
    shared.replies.send(async |replies| commands.answer(replies).await).await?;
    let acknowledged: Vec<EntryKey> = shared.assignment().acknowledged().to_vec();
    if !acknowledged.is_empty() {
        commands.finish(&acknowledged).await?;
        shared.assignment().removed(&acknowledged);
    }
    Ok(())
}

/// Waits for the reports in progress, at most the leave time-out, and leaves the group. The lease is renewed
/// in the meantime.
async fn leave(shared: &Shared, commands: &Desk) -> Result<(), WorkError> {
    let finished = timeout(shared.leave_timeout, async {
        let mut renew_at = Instant::now();
        while shared.assignment().any_in_progress() {
            write(shared, commands).await?;
            if renew_at <= Instant::now() {
                renew_at = Instant::now() + shared.post.renew_every();
                claim(shared, commands).await?;
            }
            tokio::select! {
                () = shared.to_write.notified() => {}
                () = sleep_until(renew_at) => {}
            }
        }
        Ok::<_, WorkError>(())
    });
    if let Ok(finished) = finished.await {
        finished?;
    }
    write(shared, commands).await?;
    let settled = shared.assignment().settled();
    commands.leave(&settled).await
}

/// Reads reports into the assignment until the connection fails.
async fn read(shared: &Shared, reader: &mut Reader) -> Result<(), WorkError> {
    loop {
        let (fetches, any_full) = shared.assignment().fetches();
        if fetches.is_empty() {
            shared.room.notified().await;
            continue;
        }
        let after: Vec<EntryKey> = fetches.iter().map(|fetch| (fetch.partition, fetch.after)).collect();
        let block = (!any_full).then_some(READ_BLOCK);
        let entries = reader.read(&after, HELD_MAX / 2, block).await?;
        if entries.is_empty() {
            if any_full {
                let _ = timeout(FULL_PAUSE, shared.room.notified()).await;
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
