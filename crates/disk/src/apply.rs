//! Jobs as changes of one transaction and of the index.

use switchboard_backplane::{InboxLimits, Stored};
use switchboard_event::{Event, MessageNumber, ProjectId, UserId};
use switchboard_log::{limited, printable};

use crate::file::{InvalidKey, Transaction};
use crate::index::{Admission, Index};
use crate::job::Job;
use crate::meters::Counts;
use crate::shared::Shared;

/// A transaction, with the state that its jobs need. If it fails, the index no longer matches the file.
pub(crate) struct Apply<'a, 't> {
    pub(crate) transaction: &'a mut Transaction<'t>,
    pub(crate) index: &'a mut Index,
    pub(crate) limits: &'a InboxLimits,
    pub(crate) shared: &'a Shared,
    pub(crate) counts: Counts,
}

impl Apply<'_, '_> {
    /// Applies a job. Returns the result of a `Put`. `now_ms` is the time since 1970.
    pub(crate) fn job(&mut self, job: &Job, now_ms: u64) -> Result<Option<Stored>, redb::Error> {
        match job {
            Job::Put { project, users, event, .. } => {
                let number = self.index.next_number(now_ms);
                return self.put(project, users, event, number).map(Some);
            }
            Job::Acknowledge { project, user, numbers } => self.acknowledge(project, user, numbers)?,
            Job::SetAside { project, user, numbers } => self.set_aside(project, user, numbers)?,
            Job::Clear { project, user, .. } => {
                self.transaction.remove(project, user, &self.index.clear(project, user))?;
                self.release_if_empty(project, user);
            }
            Job::ReadFailed { .. } | Job::Flush(_) => {}
        }
        Ok(None)
    }

    fn put(
        &mut self,
        project: &ProjectId,
        users: &[UserId],
        event: &Event,
        number: MessageNumber,
    ) -> Result<Stored, redb::Error> {
        let mut stored = Stored { number, inboxes: 0, evicted: 0 };
        let mut message = Vec::new();
        event.write(&mut message);
        let len = Event::size_of(&message);
        for user in users {
            let Admission::Accepted(evicted) = self.index.put(self.limits, project, user, number, len) else {
                self.counts.rejected += 1;
                continue;
            };
            self.transaction.remove(project, user, &evicted)?;
            self.transaction.insert(project, user, number, &message)?;
            stored.inboxes += 1;
            stored.evicted += evicted.len();
        }
        self.counts.stored += stored.inboxes;
        self.counts.evicted += stored.evicted;
        Ok(stored)
    }

    pub(crate) fn acknowledge(
        &mut self,
        project: &ProjectId,
        user: &UserId,
        numbers: &[MessageNumber],
    ) -> Result<(), redb::Error> {
        let removed = self.index.remove(project, user, numbers);
        self.transaction.remove(project, user, &removed)?;
        self.counts.acknowledged += removed.len();
        self.release_if_empty(project, user);
        Ok(())
    }

    /// Moves entries that cannot be decoded out of an inbox.
    fn set_aside(
        &mut self,
        project: &ProjectId,
        user: &UserId,
        numbers: &[MessageNumber],
    ) -> Result<(), redb::Error> {
        let found = self.index.remove(project, user, numbers);
        for number in &found {
            self.transaction.set_aside(project, user, *number)?;
        }
        if !found.is_empty() {
            limited!(
                ERROR,
                project = printable(project),
                user = printable(user),
                count = found.len(),
                "stored messages cannot be decoded; they are set aside"
            );
        }
        self.counts.unreadable += found.len();
        self.release_if_empty(project, user);
        Ok(())
    }

    /// Moves entries away that belong to no user.
    pub(crate) fn set_aside_invalid(&mut self, keys: &[InvalidKey]) -> Result<(), redb::Error> {
        for (project, user, number) in keys {
            self.transaction.set_aside(project, user, *number)?;
        }
        self.counts.unreadable += keys.len();
        Ok(())
    }

    /// Removes the messages that were put before a time, in milliseconds since 1970.
    pub(crate) fn expire(&mut self, before_ms: u64) -> Result<(), redb::Error> {
        for (project, user, numbers) in self.index.expire(before_ms) {
            self.transaction.remove(&project, &user, &numbers)?;
            self.counts.expired += numbers.len();
            self.release_if_empty(&project, &user);
        }
        Ok(())
    }

    fn release_if_empty(&self, project: &ProjectId, user: &UserId) {
        if self.index.is_empty(project, user) {
            self.shared.release_empty(project, user);
        }
    }
}
