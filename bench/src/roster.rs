//! One of a shard says something else of itself again and again, and everyone there is told.

use anyhow::{Result, ensure};

use crate::protocol::Protocol;
use crate::report::Report;
use crate::scenario::{Bench, ROOM};

impl Bench {
    pub(crate) async fn roster(&self) -> Result<Report> {
        let protocol = self.options.protocol;
        ensure!(protocol == Protocol::Koji, "only koji tells its clients who else is there");
        let mut path = protocol.path(Some(ROOM));
        if self.options.changes {
            path.push_str("&connectedClients=changes");
        }
        let mut room = self.room_at(&path, self.connections(1000)?).await?;
        let (rate, changes) = self.rate(10.0);
        let start = self.start()?;
        let say = |number| protocol.event("@@KOJI_DISPATCH/SET_USER_INFO", &info(number));
        room.send_at_rate(changes, rate, say).await?;
        let bytes = room.quiet().await?;
        let report = self.report(changes, start)?;
        ensure!(room.last_has(&info(changes - 1)), "the last change was not told");
        Ok(Report { received_bytes: Some(bytes as f64 / changes as f64), ..report })
    }
}

fn info(number: u64) -> String {
    format!(r#"{{"name":"Ann","change":{number}}}"#)
}
