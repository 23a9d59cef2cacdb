//! The task that hands reports in, and follows who takes them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use redis::{PushInfo, PushKind, RedisError, RedisResult, Value, cmd};
use switchboard_backplane::ReportSinkChange;
use switchboard_event::{Name, ProjectId};
use tokio::time::{Instant, sleep_until};

use super::groups::Scripts;
use super::{Numbered, POOL_CHANGES_MAX, RedisPortal};
use crate::connection::backoff::Backoff;
use crate::connection::{Batch, Connected, Link, Source};
use crate::legacy::portals::{self as originals, Pool};

/// Most reports, and about how many bytes of them, that are handed in at a time.
const BATCH_MAX: usize = 512;
const BATCH_BYTES: usize = 1024 * 1024;

/// How often it looks who is there, if nobody says that something has changed.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How soon a set of portals is looked at again of whom nobody listens.
const DOUBT: Duration = Duration::from_secs(1);

/// Who is there: project, group, portal.
type Present = BTreeSet<(ProjectId, Option<Name>, String)>;

struct Reporting {
    portal: Arc<RedisPortal>,
    scripts: Scripts,
    pool: Pool,
    /// When the set of original portals is read, if it is to be.
    pool_due: Option<Instant>,
    /// When it was read last, more listened than are known.
    strangers_listen: bool,
    look_at: Instant,
    /// Handed in, perhaps, and not answered.
    unsure: Vec<Numbered>,
    /// Whom the app knows of.
    told: Present,
    /// Somebody may have come or gone whom the app does not know of.
    news: bool,
    /// It was said that partitions are not as set.
    warned: bool,
}

/// Hands reports in as long as somebody polls.
pub(super) async fn run(portal: Arc<RedisPortal>, source: Arc<Source>) {
    let takes_turns = portal.reports.originals.as_ref().is_none_or(|theirs| theirs.distribute_load);
    let mut reporting = Reporting {
        portal: portal.clone(),
        scripts: Scripts::new(),
        pool: Pool::new(takes_turns),
        pool_due: None,
        strangers_listen: false,
        look_at: Instant::now(),
        unsure: Vec::new(),
        told: BTreeSet::new(),
        news: true,
        warned: false,
    };
    let mut backoff = Backoff::default();
    loop {
        let hears = portal.clone();
        match source.connect(Box::new(move |info| hears.pushed(info))).await {
            Ok(connected) => {
                let error = reporting.report_through(connected, &mut backoff).await;
                tracing::warn!(%error, "reports of clients wait: they are not handed in");
            }
            Err(error) => tracing::debug!(%error, "no connection to report through"),
        }
        portal.up.send_replace(false);
        backoff.pause().await;
    }
}

impl RedisPortal {
    /// Takes what Redis says unasked.
    fn pushed(&self, PushInfo { kind, data }: PushInfo) {
        let mut data = data.into_iter();
        let (PushKind::Message | PushKind::SMessage, Some(Value::BulkString(channel)), Some(message)) =
            (kind, data.next(), data.next())
        else {
            return;
        };
        let is_pool =
            self.reports.originals.as_ref().is_some_and(|theirs| theirs.pool().as_bytes() == channel);
        {
            let mut heard = self.heard();
            match message {
                Value::BulkString(message) if is_pool => {
                    if heard.pool.len() >= POOL_CHANGES_MAX {
                        heard.pool.pop_front();
                    }
                    heard.pool.push_back(message);
                }
                _ => heard.groups = true,
            }
        }
        self.stirred.notify_one();
    }
}

impl Reporting {
    /// Hands in through one connection until it fails.
    async fn report_through(&mut self, connected: Connected, backoff: &mut Backoff) -> RedisError {
        let mut link = connected.link.clone();
        tokio::select! {
            error = connected.cut() => error,
            done = self.report_on(&mut link, backoff) => match done { Err(error) => error },
        }
    }

    async fn report_on(
        &mut self,
        link: &mut Link,
        backoff: &mut Backoff,
    ) -> RedisResult<std::convert::Infallible> {
        self.scripts.load(link).await?;
        let portal = self.portal.clone();
        let of_groups =
            portal.reports.projects.iter().map(|project| portal.names.project(project).work_channel());
        let of_originals = portal.reports.originals.iter().map(|theirs| theirs.pool());
        link.subscribe(&of_groups.chain(of_originals).collect::<Vec<_>>()).await?;
        (self.look_at, self.pool_due) = (Instant::now(), Some(Instant::now()));
        self.pool.clear();
        if !self.unsure.is_empty() {
            self.hand_in(link, false).await?;
        }
        loop {
            self.look(link).await?;
            self.tell();
            if !portal.up.send_replace(true) {
                *backoff = Backoff::default();
            }
            self.unsure = portal.take();
            if !self.unsure.is_empty() {
                self.hand_in(link, true).await?;
                continue;
            }
            let due = self.pool_due.map_or(self.look_at, |due| due.min(self.look_at));
            tokio::select! {
                () = portal.stirred.notified() => {}
                () = sleep_until(due) => {}
            }
        }
    }

    /// Brings up to date who is there.
    async fn look(&mut self, link: &mut Link) -> RedisResult<()> {
        let now = Instant::now();
        let (changes, groups) = {
            let mut heard = self.portal.heard();
            (std::mem::take(&mut heard.pool), std::mem::take(&mut heard.groups))
        };
        if groups || self.look_at <= now {
            self.look_at = now + LOOK_EVERY;
            self.look_at_groups(link).await?;
        }
        self.news |= !changes.is_empty();
        for message in changes {
            if let Err(error) = self.pool.hear(&message) {
                self.portal.meters.garbage.increment(1);
                tracing::debug!(%error, "a message on the originals' channel of portals is none of theirs");
            }
        }
        if let Some(theirs) = &self.portal.reports.originals {
            if self.pool_due.is_some_and(|due| due <= now) {
                let ids: Vec<Vec<u8>> = link.ask(cmd("SMEMBERS").arg(theirs.pool())).await?;
                let (_, listeners): (String, usize) =
                    link.ask(cmd("PUBSUB").arg("NUMSUB").arg(theirs.channel())).await?;
                self.compare(ids, listeners);
                self.news = true;
            }
            if self.news {
                self.portal.takers().originals = self.pool.ids().to_vec();
            }
        }
        Ok(())
    }

    /// Compares the set with how many listen: those who were killed stay in the set. Who is suspected gets
    /// reports again when it says that it is ready, when so many listen that none is dead, or when twice
    /// somebody listens who is not known.
    fn compare(&mut self, ids: Vec<Vec<u8>>, listeners: usize) {
        let had_strangers = std::mem::take(&mut self.strangers_listen);
        if listeners == 0 {
            self.pool.suspect_all(ids);
        } else {
            self.pool.add_all(ids);
            let (known, suspected) = (self.pool.ids().len(), self.pool.suspects());
            self.strangers_listen = listeners > known;
            if self.strangers_listen && (had_strangers || listeners >= known + suspected) {
                self.pool.trust_all();
            }
        }
        let in_doubt = self.pool.suspects() > 0 && (listeners == 0 || self.strangers_listen);
        self.pool_due = in_doubt.then(|| Instant::now() + DOUBT);
    }

    async fn look_at_groups(&mut self, link: &mut Link) -> RedisResult<()> {
        self.news = true;
        let RedisPortal { names, publish_verb: verb, reports, .. } = &*self.portal;
        for project in &reports.projects {
            let (partitions, groups) =
                self.scripts.watch(link, names, project, verb, reports.partitions).await?;
            if partitions != reports.partitions && !std::mem::replace(&mut self.warned, true) {
                let set = reports.partitions;
                tracing::warn!(%project, partitions, set, "partitions stay as they are while there is a group");
            }
            self.portal.takers().groups.insert(project.clone(), groups);
        }
        Ok(())
    }

    /// Tells the app who has come and gone since it was told.
    fn tell(&mut self) {
        let Some(on_change) = self.portal.on_change.get() else { return };
        if !std::mem::take(&mut self.news) {
            return;
        }
        let now = self.portal.present();
        let change =
            |(project, group, worker): &(ProjectId, Option<Name>, String), joined| ReportSinkChange {
                project: project.clone(),
                worker: worker.clone(),
                group: group.clone(),
                joined,
            };
        self.told.difference(&now).for_each(|one| on_change(change(one, false)));
        now.difference(&self.told).for_each(|one| on_change(change(one, true)));
        self.told = now;
    }

    /// Hands in what is unsure, to originals only if it is `new`: they would not know it again.
    async fn hand_in(&mut self, link: &mut Link, new: bool) -> RedisResult<()> {
        let portal = self.portal.clone();
        let mut batch = Batch::default();
        let mut by_project: Vec<(&ProjectId, Vec<&Numbered>)> = Vec::new();
        for numbered in &self.unsure {
            let project = &numbered.report.project;
            match by_project.iter_mut().find(|(known, _)| *known == project) {
                Some((_, list)) => list.push(numbered),
                None => by_project.push((project, vec![numbered])),
            }
        }
        by_project.retain(|(project, _)| portal.takers().has_group(project));
        for (project, numbered) in &by_project {
            let names = portal.names.project(project);
            batch.push(names.base(), self.scripts.report(&names, &portal.reports, numbered));
        }
        let of_groups = by_project.len();
        if let (Some(theirs), true) = (&portal.reports.originals, new) {
            let channel = theirs.channel();
            for numbered in self.unsure.iter().filter(|one| one.report.project == theirs.project) {
                let Some(chosen) = self.pool.next() else { break };
                let mut command = cmd("PUBLISH");
                command.arg(&channel).arg(originals::telling(&numbered.report, chosen));
                batch.push("", command);
            }
        }
        let answers = if batch.is_empty() { Vec::new() } else { link.run(batch).await? };
        for (place, answer) in answers.into_iter().enumerate() {
            match (answer.extract_error()?, place < of_groups) {
                // There is no group any more.
                (Value::Int(..0), true) => self.look_at = Instant::now(),
                (Value::Int(lost), true) => portal.meters.trimmed.increment(lost.unsigned_abs()),
                (Value::Int(0), false) => self.nobody_listened(),
                _ => {}
            }
        }
        portal.meters.reported.increment(self.unsure.len() as u64);
        if let Some(last) = std::mem::take(&mut self.unsure).last() {
            portal.handed_in.send_replace(last.id.number);
        }
        Ok(())
    }

    /// All that the pool holds are dead, or have not begun to listen.
    fn nobody_listened(&mut self) {
        self.portal.meters.unheard.increment(1);
        self.pool.suspect_all(Vec::new());
        self.news = true;
        self.pool_due.get_or_insert(Instant::now() + DOUBT);
    }
}

impl RedisPortal {
    fn take(&self) -> Vec<Numbered> {
        let mut queue = self.queue();
        let (mut count, mut bytes) = (0, 0);
        for numbered in queue.waiting.iter().take(BATCH_MAX) {
            bytes += numbered.bytes();
            if count > 0 && bytes > BATCH_BYTES {
                break;
            }
            count += 1;
        }
        let taken: Vec<Numbered> = queue.waiting.drain(..count).collect();
        queue.bytes -= taken.iter().map(Numbered::bytes).sum::<usize>();
        taken
    }

    fn present(&self) -> Present {
        let takers = self.takers();
        let of_groups = takers.groups.iter().flat_map(|(project, groups)| {
            groups.iter().flat_map(move |(group, workers)| {
                let group = Name::new(group).ok();
                workers.iter().map(move |worker| (project.clone(), group.clone(), worker.clone()))
            })
        });
        let theirs = self.reports.originals.iter().flat_map(|theirs| {
            takers.originals.iter().map(|portal| (theirs.project.clone(), None, portal.clone()))
        });
        of_groups.chain(theirs).collect()
    }
}
