//! Worker groups as a node sees them, and the scripts that nodes and workers share.
//!
//! | name | type | holds |
//! |---|---|---|
//! | `…:work:groups` | sorted set | groups, by when each is forgotten unless a worker renews it |
//! | `…:work:partitions` | string | into how many parts the project's clients are divided |
//! | `…:work:<partition>:<group>` | stream | reports that wait; what is handled is taken out |
//! | `…:work:workers:<group>` | sorted set | workers, by the end of each one's lease |
//! | `…:work:owners:<group>` | hash | partition to worker; `!<partition>` if the one before died with it |
//! | `…:work:sent:<node>` | string, an hour long | the number of the node's last report |
//! | `…:work` | channel | the name of a group in which something has changed |
//!
//! There is no consumer group of Redis in it: a partition has one reader at a time, so what is pending is
//! just what is still in the stream.

use std::collections::HashMap;

use redis::{Cmd, FromRedisValue, RedisResult, Value};
use switchboard_event::ProjectId;

use super::record;
use super::{Numbered, Reports};
use crate::connection::Link;
use crate::connection::script::{self, Script, call};
use crate::names::{Names, ProjectNames};

/// How long Redis remembers the last number of a node that says nothing: longer than one tries to hand
/// the same in again.
const NUMBER_STANDS_MS: &str = "3600000";

/// A script with what all scripts of groups share.
macro_rules! script {
    ($file:literal) => {
        Script::of(concat!(include_str!("scripts/workers.lua"), include_str!($file)))
    };
}

/// The scripts of a worker.
pub(crate) struct WorkerScripts {
    pub(crate) share: Script,
    pub(crate) finish: Script,
    pub(crate) leave: Script,
}

impl WorkerScripts {
    pub(crate) fn new() -> Self {
        WorkerScripts {
            share: script!("scripts/share.lua"),
            finish: script!("scripts/finish.lua"),
            leave: script!("scripts/leave.lua"),
        }
    }

    pub(crate) async fn load(&self, link: &mut Link) -> RedisResult<()> {
        script::load(link, &[&self.share, &self.finish, &self.leave]).await
    }
}

/// The scripts of a node.
pub(super) struct Scripts {
    report: Script,
    watch: Script,
}

/// By group, its workers.
pub(super) type Groups = HashMap<String, Vec<String>>;

impl Scripts {
    pub(super) fn new() -> Self {
        Scripts { report: script!("scripts/report.lua"), watch: script!("scripts/watch.lua") }
    }

    pub(super) async fn load(&self, link: &mut Link) -> RedisResult<()> {
        script::load(link, &[&self.report, &self.watch]).await
    }

    /// Hands in reports of one project. The answer is how many gave way, or -1 if there is no group.
    pub(super) fn report(&self, names: &ProjectNames, reports: &Reports, numbered: &[&Numbered]) -> Cmd {
        let sent = numbered.first().map(|first| names.work_sent(first.id.node)).unwrap_or_default();
        let mut args =
            vec![names.base().into(), reports.backlog_max.to_string().into(), NUMBER_STANDS_MS.into()];
        for Numbered { id, report } in numbered {
            // Lua's numbers are exact to 2^53.
            let spread = report.socket.spread() as u32;
            args.extend([id.number.to_string().into(), spread.to_string().into()]);
            args.push(record::encode(*id, report));
        }
        let args: Vec<&[u8]> = args.iter().map(|arg: &Vec<u8>| &**arg).collect();
        call(&self.report, &[names.work_groups(), names.work_partitions(), sent], &args)
    }

    /// Who is there, and how many partitions there are.
    pub(super) async fn watch(
        &self,
        link: &mut Link,
        names: &Names,
        project: &ProjectId,
        verb: &str,
        partitions: u16,
    ) -> RedisResult<(u16, Groups)> {
        let names = names.project(project);
        let (channel, partitions) = (names.work_channel(), partitions.to_string());
        let keys = [names.work_groups(), names.work_partitions()];
        let args = [names.base(), verb, &channel, &partitions].map(str::as_bytes);
        let answer: Vec<Value> = link.ask(&call(&self.watch, &keys, &args)).await?;
        let mut answer = answer.into_iter();
        let partitions = answer.next().map(u16::from_redis_value).transpose()?.unwrap_or_default();
        let mut groups = Groups::new();
        while let (Some(group), Some(count)) = (answer.next(), answer.next()) {
            let workers = answer.by_ref().take(usize::from_redis_value(count)?);
            let workers = workers.map(String::from_redis_value).collect::<Result<_, _>>()?;
            groups.insert(String::from_redis_value(group)?, workers);
        }
        Ok((partitions, groups))
    }
}
