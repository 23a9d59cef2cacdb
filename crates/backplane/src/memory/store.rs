//! Presence and seats of a single node.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use switchboard_event::{ProjectId, RoomName, ShardName, SocketId, Target, UserId};

use super::seats::Seats;
use crate::future::{BackplaneFuture, reply};
use crate::local_members::LocalMembers;
use crate::seats::{SeatRequest, Seated, Shard};
use crate::store::{Page, Store};

/// The store of a single node. Presence is read from the hub's own index. Only seats are held here, because a
/// socket takes its seat before it has a session.
pub struct MemoryStore {
    local: Arc<dyn LocalMembers>,
    seats: Mutex<HashMap<ProjectId, Seats>>,
}

impl MemoryStore {
    /// A store that answers from the members that a hub knows.
    pub fn new(local: Arc<dyn LocalMembers>) -> Self {
        MemoryStore { local, seats: Mutex::default() }
    }

    fn seats(&self) -> MutexGuard<'_, HashMap<ProjectId, Seats>> {
        self.seats.lock().expect("no code that holds the seats panics")
    }
}

impl Store for MemoryStore {
    fn entered(&self, _: &ProjectId, _: &Target, _: SocketId) {}

    fn left(&self, _: &ProjectId, _: &Target, _: SocketId) {}

    fn count<'a>(&'a self, project: &'a ProjectId, target: &'a Target) -> BackplaneFuture<'a, usize> {
        reply(self.local.count(project, target))
    }

    fn members<'a>(
        &'a self,
        project: &'a ProjectId,
        target: &'a Target,
        page: Page<SocketId>,
    ) -> BackplaneFuture<'a, Vec<SocketId>> {
        reply(page.of(self.local.members(project, target)))
    }

    fn count_users<'a>(&'a self, project: &'a ProjectId) -> BackplaneFuture<'a, usize> {
        reply(self.local.count_users(project))
    }

    fn users<'a>(&'a self, project: &'a ProjectId, page: Page<UserId>) -> BackplaneFuture<'a, Vec<UserId>> {
        let mut users = Vec::new();
        self.local.for_each_target(project, &mut |target| {
            if let Target::User(id) = target {
                users.push(id.clone());
            }
        });
        reply(page.of(users))
    }

    fn rooms<'a>(
        &'a self,
        project: &'a ProjectId,
        prefix: &'a str,
        page: Page<RoomName>,
    ) -> BackplaneFuture<'a, Vec<RoomName>> {
        let mut rooms = Vec::new();
        self.local.for_each_target(project, &mut |target| match target {
            Target::Room(name) if name.starts_with(prefix) => rooms.push(name.clone()),
            _ => {}
        });
        reply(page.of(rooms))
    }

    fn take_seat<'a>(&'a self, project: &'a ProjectId, request: SeatRequest) -> BackplaneFuture<'a, Seated> {
        let mut projects = self.seats();
        let seats = projects.entry(project.clone()).or_default();
        let seated = seats.take(&request);
        if seats.is_empty() {
            projects.remove(project);
        }
        reply(seated)
    }

    fn leave_seat(&self, project: &ProjectId, shard: &ShardName, _: SocketId) {
        let mut projects = self.seats();
        if let Some(seats) = projects.get_mut(project) {
            seats.leave(shard);
            if seats.is_empty() {
                projects.remove(project);
            }
        }
    }

    fn shards<'a>(&'a self, project: &'a ProjectId) -> BackplaneFuture<'a, Vec<Shard>> {
        reply(self.seats().get(project).map(Seats::list).unwrap_or_default())
    }
}
