//! What nodes share: which sockets there are, and what they are in.
//!
//! The hub tells the store of every change; questions are asked of the store alone, so the answer
//! is the same on one node and on fifty.

use std::error::Error;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use switchboard_event::{ProjectId, SocketId, Target, UserId};

use crate::Index;

/// An answer on its way.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The store could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("the shared store did not answer")]
pub struct StoreError(#[source] pub Box<dyn Error + Send + Sync>);

/// A part of a long list, in ascending order.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// Only what comes after this one; none for the first page.
    pub after: Option<T>,
    /// At most so many.
    pub limit: usize,
}

impl<T> Page<T> {
    /// All there is.
    pub fn all() -> Self {
        Page { after: None, limit: usize::MAX }
    }

    /// The first `limit`.
    pub fn first(limit: usize) -> Self {
        Page { after: None, limit }
    }
}

impl<T: Ord + Clone> Page<T> {
    /// Cuts this page out of a list in any order.
    fn of(&self, mut list: Vec<T>) -> Vec<T> {
        if let Some(after) = &self.after {
            list.retain(|item| item > after);
        }
        list.sort_unstable();
        list.truncate(self.limit);
        list
    }
}

/// Holds the facts that nodes share. Every implementation passes the same contract tests.
pub trait Store: Send + Sync + 'static {
    /// A socket came into a target; for [`Target::Everyone`] it connected. Queues and returns.
    fn entered(&self, project: &ProjectId, target: &Target, socket: SocketId);

    /// A socket left a target; for [`Target::Everyone`] it closed. Queues and returns.
    fn left(&self, project: &ProjectId, target: &Target, socket: SocketId);

    /// How many sockets are in a target, over all nodes. For [`Target::Socket`], 1 if it exists.
    fn count<'a>(&'a self, project: &'a ProjectId, target: &'a Target) -> Answer<'a, usize>;

    /// Which sockets are in a target, over all nodes.
    fn members<'a>(
        &'a self,
        project: &'a ProjectId,
        target: &'a Target,
        page: Page<SocketId>,
    ) -> Answer<'a, Vec<SocketId>>;

    /// How many users have a socket.
    fn count_users<'a>(&'a self, project: &'a ProjectId) -> Answer<'a, usize>;

    /// Which users have a socket.
    fn users<'a>(&'a self, project: &'a ProjectId, page: Page<UserId>) -> Answer<'a, Vec<UserId>>;
}

/// The store of a node alone. The hub's own index is the truth, so it keeps nothing of its own.
pub struct MemoryStore {
    index: Arc<Index>,
}

impl MemoryStore {
    /// Answers from the index that a hub keeps.
    pub fn new(index: Arc<Index>) -> Self {
        MemoryStore { index }
    }

    fn member_ids(&self, project: &ProjectId, target: &Target) -> Vec<SocketId> {
        let Some(project) = self.index.project(project) else { return Vec::new() };
        if let Target::Socket(id) = target {
            let session = self.index.session(*id).filter(|session| session.project.id == project.id);
            return session.map(|session| session.id).into_iter().collect();
        }
        let mut ids = Vec::new();
        if let Some(group) = self.index.group(&project, target) {
            group.for_each(|session| ids.push(session.id));
        }
        ids
    }
}

fn answer<'a, T: Send + 'a>(value: T) -> Answer<'a, T> {
    Box::pin(ready(Ok(value)))
}

impl Store for MemoryStore {
    fn entered(&self, _: &ProjectId, _: &Target, _: SocketId) {}

    fn left(&self, _: &ProjectId, _: &Target, _: SocketId) {}

    fn count<'a>(&'a self, project: &'a ProjectId, target: &'a Target) -> Answer<'a, usize> {
        let known = self.index.project(project);
        answer(match target {
            Target::Socket(_) => self.member_ids(project, target).len(),
            _ => known.and_then(|project| self.index.group(&project, target)).map_or(0, |group| group.len()),
        })
    }

    fn members<'a>(
        &'a self,
        project: &'a ProjectId,
        target: &'a Target,
        page: Page<SocketId>,
    ) -> Answer<'a, Vec<SocketId>> {
        answer(page.of(self.member_ids(project, target)))
    }

    fn count_users<'a>(&'a self, project: &'a ProjectId) -> Answer<'a, usize> {
        answer(self.index.project(project).map_or(0, |project| project.users()))
    }

    fn users<'a>(&'a self, project: &'a ProjectId, page: Page<UserId>) -> Answer<'a, Vec<UserId>> {
        let Some(project) = self.index.project(project) else { return answer(Vec::new()) };
        let users = self.index.collect(&project, |target| match target {
            Target::User(id) => Some(id.clone()),
            _ => None,
        });
        answer(page.of(users))
    }
}
