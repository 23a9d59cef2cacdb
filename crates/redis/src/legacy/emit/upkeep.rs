//! What has to be done again and again: sets of members end by themselves, and nodes come and go.

use std::sync::Arc;

use redis::RedisResult;
use switchboard_backplane::LocalMembers;
use switchboard_event::Target;
use tokio::time::Instant;

use super::BridgedEmit;
use crate::connection::{Batch, Link};
use crate::names::{Names, node_of};

/// Most sets that are renewed in one pipeline.
const BATCH_MAX: usize = 1024;

/// How often sets are renewed while they stand.
const RENEWALS: u32 = 24;

pub(crate) struct Upkeep {
    bridged: Arc<BridgedEmit>,
    due: Instant,
}

impl Upkeep {
    pub(crate) fn new(bridged: Arc<BridgedEmit>) -> Self {
        Upkeep { bridged, due: Instant::now() }
    }

    /// Called with every renewal of the lease.
    pub(crate) async fn tend(
        &mut self,
        link: &mut Link,
        names: &Names,
        local: Option<&dyn LocalMembers>,
    ) -> RedisResult<()> {
        let leases: Vec<Vec<u8>> = link.ask(redis::cmd("ZRANGE").arg(names.nodes()).arg(0).arg(-1)).await?;
        *self.bridged.ours() = leases.iter().filter_map(|lease| node_of(lease)).collect();
        if let Some(local) = local
            && self.due <= Instant::now()
        {
            self.renew(link, local).await?;
            self.due = Instant::now() + self.bridged.bridge.members_stand / RENEWALS;
        }
        Ok(())
    }

    /// Puts off the end of the sets in which this node has sockets.
    async fn renew(&self, link: &Link, local: &dyn LocalMembers) -> RedisResult<()> {
        let bridge = &self.bridged.bridge;
        let mut keys = Vec::new();
        local.for_each_target(&bridge.project, &mut |target| {
            if matches!(target, Target::Room(_) | Target::Tag(_)) {
                keys.push(bridge.key(target));
            }
        });
        let stand_ms = bridge.members_stand_ms();
        for keys in keys.chunks(BATCH_MAX) {
            let mut batch = Batch::default();
            for key in keys {
                let mut command = redis::cmd("PEXPIRE");
                command.arg(key).arg(&stand_ms);
                batch.push(&bridge.prefix, command);
            }
            for answer in link.run(batch).await? {
                answer.extract_error()?;
            }
        }
        Ok(())
    }
}
