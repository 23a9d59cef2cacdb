//! The task that sends reports and keeps the list of their receivers up to date.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use metrics::{Counter, counter};
use redis::{PushInfo, PushKind, RedisResult, Value};
use switchboard_backplane::WorkerChange;
use switchboard_event::ProjectId;
use switchboard_log::printable;
use tokio::time::{Instant, sleep_until};

use super::groups::ReportScripts;
use super::queue::NumberedReport;
use super::shared::{ReceiverKey, ReportsShared};
use crate::connection::{Batch, OnPush, RedisConnection, Session, Up, script};

/// Interval at which groups are read even if no change was announced.
const REFRESH_INTERVAL: Duration = Duration::from_secs(2);

/// `WEBHOOKS` is true for the reports to webhooks, which have streams and a connection of their own.
pub(super) struct ReportSender<const WEBHOOKS: bool> {
    shared: Arc<ReportsShared>,
    scripts: ReportScripts,
    refresh_at: Instant,
    /// Reports that may have been sent and have no reply yet.
    unconfirmed: Vec<NumberedReport>,
    /// Receivers that the application was notified of.
    announced: BTreeSet<ReceiverKey>,
    /// The receivers may differ from the announced ones.
    receivers_changed: bool,
    has_warned_of_partitions: bool,
    sent: Counter,
    trimmed: Counter,
}

impl<const WEBHOOKS: bool> ReportSender<WEBHOOKS> {
    pub(super) fn new(shared: Arc<ReportsShared>) -> Self {
        ReportSender {
            shared,
            scripts: ReportScripts::new(),
            refresh_at: Instant::now(),
            unconfirmed: Vec::new(),
            announced: BTreeSet::new(),
            receivers_changed: true,
            has_warned_of_partitions: false,
            sent: counter!("switchboard_reports_total"),
            trimmed: counter!("switchboard_reports_lost_total", "reason" => "backlog_full"),
        }
    }

    async fn subscribe(&mut self, connection: &mut RedisConnection) -> RedisResult<()> {
        let ReportsShared { options, names, direct, .. } = &*self.shared;
        let groups = options.projects.iter().map(|project| names.project(project).work_channel());
        let direct_channel = direct.iter().map(|direct| direct.channel());
        connection.subscribe(&groups.chain(direct_channel).collect::<Vec<_>>()).await?;
        // Announcements may have been missed before.
        self.refresh_at = Instant::now();
        direct.iter().for_each(|direct| direct.reconnected());
        Ok(())
    }

    /// Updates the receivers.
    async fn refresh(&mut self, connection: &mut RedisConnection) -> RedisResult<()> {
        let now = Instant::now();
        if self.shared.groups_changed.swap(false, Ordering::Relaxed) || self.refresh_at <= now {
            self.refresh_at = now + REFRESH_INTERVAL;
            self.refresh_groups(connection).await?;
        }
        if let Some(direct) = &self.shared.direct {
            self.receivers_changed |= direct.refresh(connection).await?;
            if self.receivers_changed {
                self.shared.receivers().direct = direct.ids();
            }
        }
        Ok(())
    }

    async fn refresh_groups(&mut self, connection: &mut RedisConnection) -> RedisResult<()> {
        self.receivers_changed = true;
        let ReportsShared { options, context, names, .. } = &*self.shared;
        for project in &options.projects {
            let names = names.project(project);
            let (partitions, groups) =
                self.scripts.watch(connection, &names, context.publish_verb(), options.partitions).await?;
            let configured = options.partitions;
            if partitions != configured && !std::mem::replace(&mut self.has_warned_of_partitions, true) {
                tracing::warn!(
                    project = printable(project),
                    partitions,
                    configured,
                    "number of partitions is unchanged while the project has a group"
                );
            }
            self.shared.receivers().groups.insert(project.clone(), groups);
        }
        Ok(())
    }

    /// Notifies the application of receivers that have joined or left.
    fn announce_receivers(&mut self) {
        let Some(on_change) = self.shared.on_change.get() else { return };
        if !std::mem::take(&mut self.receivers_changed) {
            return;
        }
        let now = self.shared.receiver_keys();
        let change = |(project, group, id): &ReceiverKey, joined| WorkerChange {
            project: project.clone(),
            worker: id.clone(),
            group: group.clone(),
            joined,
        };
        self.announced.difference(&now).for_each(|receiver| on_change(change(receiver, false)));
        now.difference(&self.announced).for_each(|receiver| on_change(change(receiver, true)));
        self.announced = now;
    }

    /// Sends the unconfirmed reports. Direct receivers cannot detect a duplicate, so they receive reports
    /// only if `is_first_attempt`.
    async fn send(&mut self, connection: &mut RedisConnection, is_first_attempt: bool) -> RedisResult<()> {
        let shared = self.shared.clone();
        let mut batch = Batch::default();
        let by_project = self.by_project();
        for (project, reports) in &by_project {
            let names = shared.names.project(project);
            batch.push(names.base(), self.scripts.report(&names, &shared.options, reports));
        }
        let group_calls = by_project.len();
        if let (Some(direct), true) = (&shared.direct, is_first_attempt) {
            for numbered in
                self.unconfirmed.iter().filter(|numbered| numbered.report.project == *direct.project())
            {
                let Some(command) = direct.encode(&numbered.report) else { break };
                batch.push("", command);
            }
        }
        let replies = if batch.is_empty() { Vec::new() } else { connection.run(batch).await? };
        for (index, reply) in replies.into_iter().enumerate() {
            match (reply.extract_error()?, index < group_calls) {
                // The project no longer has a group.
                (Value::Int(..0), true) => self.refresh_at = Instant::now(),
                (Value::Int(trimmed), true) => self.trimmed.increment(trimmed.unsigned_abs()),
                (Value::Int(0), false) => {
                    shared.direct.iter().for_each(|direct| direct.no_subscriber());
                    self.receivers_changed = true;
                }
                _ => {}
            }
        }
        self.sent.increment(self.unconfirmed.len() as u64);
        if let Some(last) = std::mem::take(&mut self.unconfirmed).last() {
            shared.sent.send_replace(last.id.number);
        }
        Ok(())
    }

    /// The unconfirmed reports of each project that has a group.
    fn by_project(&self) -> Vec<(&ProjectId, Vec<&NumberedReport>)> {
        let mut by_project: Vec<(&ProjectId, Vec<&NumberedReport>)> = Vec::new();
        for numbered in &self.unconfirmed {
            let project = &numbered.report.project;
            match by_project.iter_mut().find(|(known, _)| *known == project) {
                Some((_, reports)) => reports.push(numbered),
                None => by_project.push((project, vec![numbered])),
            }
        }
        by_project.retain(|(project, _)| self.shared.receivers().has_group(project));
        by_project
    }
}

impl<const WEBHOOKS: bool> Session for ReportSender<WEBHOOKS> {
    const CONNECTION: &'static str = if WEBHOOKS { "webhooks" } else { "reports" };
    const LOST: &'static str =
        "report sender disconnected from Redis; reports of clients are queued until it reconnects";

    fn on_push(&self) -> OnPush {
        let shared = self.shared.clone();
        Box::new(move |PushInfo { kind, data }| {
            let mut data = data.into_iter();
            let (PushKind::Message | PushKind::SMessage, Some(Value::BulkString(channel)), Some(message)) =
                (kind, data.next(), data.next())
            else {
                return;
            };
            let direct = shared.direct.as_ref().filter(|direct| direct.channel().as_bytes() == channel);
            match (direct, message) {
                (Some(direct), Value::BulkString(message)) => direct.queue_announcement(message),
                _ => shared.groups_changed.store(true, Ordering::Relaxed),
            }
            shared.wake.notify_one();
        })
    }

    async fn serve(&mut self, mut connection: RedisConnection, up: &mut Up) -> RedisResult<()> {
        script::load(&mut connection, &self.scripts).await?;
        self.subscribe(&mut connection).await?;
        if !self.unconfirmed.is_empty() {
            self.send(&mut connection, false).await?;
        }
        loop {
            self.refresh(&mut connection).await?;
            self.announce_receivers();
            self.shared.is_up.send_replace(true);
            up.set();
            self.unconfirmed = self.shared.queue().take();
            if !self.unconfirmed.is_empty() {
                self.send(&mut connection, true).await?;
                continue;
            }
            let direct_due = self.shared.direct.as_ref().and_then(|direct| direct.due());
            let due = direct_due.map_or(self.refresh_at, |due| due.min(self.refresh_at));
            tokio::select! {
                () = self.shared.wake.notified() => {}
                () = sleep_until(due) => {}
            }
        }
    }

    fn disconnected(&mut self) -> ControlFlow<()> {
        self.shared.is_up.send_replace(false);
        ControlFlow::Continue(())
    }
}
