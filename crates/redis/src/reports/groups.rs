//! Worker groups from the view of a node, and the scripts that nodes and workers share.
//!
//! | name | type | content |
//! |---|---|---|
//! | `…:work:groups` | sorted set | groups, by the time at which each is removed unless a worker renews it |
//! | `…:work:partitions` | string | number of partitions of the project |
//! | `…:work:<partition>:<group>` | stream | queued reports; acknowledged reports are deleted |
//! | `…:work:workers:<group>` | sorted set | workers, by the end of their leases |
//! | `…:work:owners:<group>` | hash | partition to worker; `!<partition>` if the previous owner's lease expired |
//! | `…:work:sent:<node>` | string, for an hour | number of the node's last report |
//! | `…:work` | channel | name of a group that has changed |
//!
//! Redis' consumer groups are not needed: a partition has one reader at a time, so its pending reports are
//! the entries of the stream.

use std::collections::HashMap;

use redis::{Cmd, FromRedisValue, RedisResult, Value};

use super::queue::NumberedReport;
use super::record;
use crate::connection::RedisConnection;
use crate::connection::script::{Script, ScriptSet};
use crate::names::ProjectNames;
use crate::options::ReportOptions;

/// How long Redis stores the number of a node's last report: longer than a node retries the same reports.
const LAST_NUMBER_MS: &str = "3600000";

/// A script, with the functions that all scripts of groups share.
macro_rules! script {
    ($file:literal) => {
        Script::new(concat!(include_str!("scripts/workers.lua"), include_str!($file)))
    };
}

/// The scripts of a worker.
pub(super) struct WorkerScripts {
    pub(super) share: Script,
    pub(super) finish: Script,
    pub(super) leave: Script,
}

impl WorkerScripts {
    pub(super) fn new() -> Self {
        WorkerScripts {
            share: script!("scripts/share.lua"),
            finish: script!("scripts/finish.lua"),
            leave: script!("scripts/leave.lua"),
        }
    }
}

impl ScriptSet for WorkerScripts {
    fn scripts(&self) -> Vec<&Script> {
        vec![&self.share, &self.finish, &self.leave]
    }
}

/// The scripts of a node.
pub(super) struct ReportScripts {
    report: Script,
    watch: Script,
}

impl ScriptSet for ReportScripts {
    fn scripts(&self) -> Vec<&Script> {
        vec![&self.report, &self.watch]
    }
}

/// The workers of each group.
pub(super) type Groups = HashMap<String, Vec<String>>;

impl ReportScripts {
    pub(super) fn new() -> Self {
        ReportScripts { report: script!("scripts/report.lua"), watch: script!("scripts/watch.lua") }
    }

    /// A call that queues reports of one project for its groups. The reply is the number of reports dropped
    /// at the bound, or -1 if there is no group.
    pub(super) fn report(
        &self,
        names: &ProjectNames,
        options: &ReportOptions,
        reports: &[&NumberedReport],
    ) -> Cmd {
        let sent = reports.first().map(|first| names.work_sent(first.id.node)).unwrap_or_default();
        let mut args =
            vec![names.base().into(), options.backlog_max.to_string().into(), LAST_NUMBER_MS.into()];
        for NumberedReport { id, report } in reports {
            // Lua's numbers are exact up to 2^53.
            let spread = report.socket.spread() as u32;
            args.extend([id.number.to_string().into(), spread.to_string().into()]);
            args.push(record::encode(*id, report));
        }
        let args: Vec<&[u8]> = args.iter().map(|arg: &Vec<u8>| &**arg).collect();
        self.report.call(&[names.work_groups(), names.work_partitions(), sent], &args)
    }

    /// Returns the number of partitions, and the groups with their workers.
    pub(super) async fn watch(
        &self,
        connection: &mut RedisConnection,
        names: &ProjectNames,
        verb: &str,
        partitions: u16,
    ) -> RedisResult<(u16, Groups)> {
        let (channel, partitions) = (names.work_channel(), partitions.to_string());
        let keys = [names.work_groups(), names.work_partitions()];
        let args = [names.base(), verb, &channel, &partitions].map(str::as_bytes);
        let reply: Vec<Value> = connection.query(&self.watch.call(&keys, &args)).await?;
        let mut reply = reply.into_iter();
        let partitions = reply.next().map(u16::from_redis_value).transpose()?.unwrap_or_default();
        let mut groups = Groups::new();
        while let (Some(group), Some(count)) = (reply.next(), reply.next()) {
            let workers = reply.by_ref().take(usize::from_redis_value(count)?);
            let workers = workers.map(String::from_redis_value).collect::<Result<_, _>>()?;
            groups.insert(String::from_redis_value(group)?, workers);
        }
        Ok((partitions, groups))
    }
}
