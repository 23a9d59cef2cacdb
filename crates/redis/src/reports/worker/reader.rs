//! Reading reports from the streams of a worker's partitions.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use redis::cmd;
use switchboard_backplane::{Report, ReportId};
use switchboard_event::{Name, ProjectId};
use switchboard_log::{limited, printable, printable_error};

use super::error::WorkerError;
use crate::connection::RedisConnection;
use crate::names::ProjectNames;
use crate::reports::record;

/// Id of a stream entry: the time at which it was added, in ms of Redis' clock, and its number within that ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct EntryId {
    /// Time in ms.
    pub ms: u64,
    /// Number within the ms.
    pub number: u64,
}

/// A report in a stream.
#[derive(Debug)]
pub struct ReportEntry {
    /// Its partition.
    pub partition: u16,
    /// Its id in the stream.
    pub id: EntryId,
    /// The report; `None` if it cannot be decoded.
    pub report: Option<(ReportId, Report)>,
}

/// A connection for reads that block.
pub struct ReportReader {
    connection: RedisConnection,
    names: ProjectNames,
    project: ProjectId,
    group: Name,
}

/// Stream name, and its entries: each an id and its fields.
type Streams = Vec<(String, Vec<(String, Vec<(Vec<u8>, Vec<u8>)>)>)>;

impl ReportReader {
    pub(super) fn new(
        connection: RedisConnection,
        names: ProjectNames,
        project: ProjectId,
        group: Name,
    ) -> Self {
        ReportReader { connection, names, project, group }
    }

    /// Reads reports behind an entry of each partition, at most `max` of each. If there are none, it blocks
    /// for at most `block`, which must be less than 2 s. A concurrent call waits for that long as well.
    pub async fn read(
        &mut self,
        after: &[(u16, EntryId)],
        max: usize,
        block: Option<Duration>,
    ) -> Result<Vec<ReportEntry>, WorkerError> {
        let keys: Vec<String> =
            after.iter().map(|(partition, _)| self.names.work(*partition, &self.group)).collect();
        let mut command = cmd("XREAD");
        command.arg("COUNT").arg(max);
        if let Some(block) = block {
            command.arg("BLOCK").arg(block.as_millis().max(1) as u64);
        }
        command.arg("STREAMS").arg(&keys);
        for (_, id) in after {
            command.arg(id.to_string());
        }
        let streams: Option<Streams> = self.connection.query(&command).await?;
        let mut entries = Vec::new();
        for (key, list) in streams.unwrap_or_default() {
            let Some(index) = keys.iter().position(|known| *known == key) else { continue };
            for (id, fields) in list {
                let Some(id) = EntryId::parse(&id) else { continue };
                let record = fields.into_iter().find(|(field, _)| field == b"r");
                let report = record.and_then(|(_, record)| self.decode(&key, record.into()));
                entries.push(ReportEntry { partition: after[index].0, id, report });
            }
        }
        Ok(entries)
    }

    fn decode(&self, key: &str, record: Bytes) -> Option<(ReportId, Report)> {
        record::decode(&self.project, &record)
            .inspect_err(|error| {
                limited!(
                    WARN,
                    error = printable_error(error),
                    key = printable(key),
                    "report cannot be decoded; it is removed"
                );
            })
            .ok()
    }
}

impl EntryId {
    fn parse(text: &str) -> Option<Self> {
        let (ms, number) = text.split_once('-')?;
        Some(EntryId { ms: ms.parse().ok()?, number: number.parse().ok()? })
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.number)
    }
}
