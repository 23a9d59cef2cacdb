//! One client of a Koji shard changes its user info again and again; all members of the shard are notified.

use anyhow::{Result, ensure};

use crate::protocol::Protocol;
use crate::report::Report;
use crate::scenario::{Bench, ROOM};

impl Bench {
    pub(crate) async fn member_lists(&self) -> Result<Report> {
        let protocol = self.options.protocol;
        ensure!(protocol == Protocol::Koji, "only koji has member lists");
        let mut path = protocol.path(Some(ROOM));
        if self.options.changes {
            path.push_str("&connectedClients=changes");
        }
        let mut room = self.room_at(&path, self.connections(1000)?).await?;
        let (rate, changes) = self.rate(10.0);
        let start = self.start()?;
        let change =
            |number| format!(r#"{{"eventName":"@@KOJI_DISPATCH/SET_USER_INFO","payload":{}}}"#, info(number));
        room.send_at_rate(changes, rate, change).await?;
        let bytes = room.quiet().await?;
        let report = self.report(changes, start)?;
        ensure!(room.last_has(&info(changes - 1)), "the last change was not delivered");
        Ok(Report { received_bytes: Some(bytes as f64 / changes as f64), ..report })
    }
}

fn info(number: u64) -> String {
    format!(r#"{{"name":"Ann","change":{number}}}"#)
}
