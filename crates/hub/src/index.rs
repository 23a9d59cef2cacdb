//! The index of a node: sessions by id, and member sets by project and target, in 64 stripes each.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use switchboard_backplane::LocalMembers;
use switchboard_event::{ProjectId, SocketId, Target};

use crate::member_set::MemberSet;
use crate::project::Project;
use crate::session::Session;

const STRIPES: usize = 64;

/// All sessions, member sets and projects of one node.
pub struct Index {
    sessions: [Mutex<HashMap<SocketId, Arc<Session>, DefaultHashBuilder>>; STRIPES],
    sets: [Mutex<HashTable<Arc<MemberSet<Session>>>>; STRIPES],
    projects: RwLock<HashMap<ProjectId, Arc<Project>, DefaultHashBuilder>>,
    next_serial: AtomicU64,
    /// Randomly keyed: clients choose names and must not be able to provoke collisions.
    hasher: RandomState,
}

impl Default for Index {
    fn default() -> Self {
        Index {
            sessions: std::array::from_fn(|_| Mutex::default()),
            sets: std::array::from_fn(|_| Mutex::default()),
            projects: RwLock::default(),
            next_serial: AtomicU64::new(0),
            hasher: RandomState::new(),
        }
    }
}

impl Index {
    fn sessions(&self, id: SocketId) -> MutexGuard<'_, HashMap<SocketId, Arc<Session>, DefaultHashBuilder>> {
        let stripe = id.spread() as usize % STRIPES;
        self.sessions[stripe].lock().expect("no code that holds a stripe panics")
    }

    fn hash(&self, project: &Project, target: &Target) -> u64 {
        self.hasher.hash_one((project.serial, target))
    }

    fn sets(&self, hash: u64) -> MutexGuard<'_, HashTable<Arc<MemberSet<Session>>>> {
        // The table uses the low bits.
        let stripe = (hash >> 48) as usize % STRIPES;
        self.sets[stripe].lock().expect("no code that holds a stripe panics")
    }

    /// The session with that id, in any project.
    pub fn session(&self, id: SocketId) -> Option<Arc<Session>> {
        self.sessions(id).get(&id).cloned()
    }

    /// The project, if it has a local socket.
    pub fn project(&self, id: &ProjectId) -> Option<Arc<Project>> {
        self.projects.read().expect("no code that holds the projects panics").get(id).cloned()
    }

    /// Counts a new session in its project. Every call needs one [`leave_project`](Self::leave_project).
    pub(crate) fn enter_project(&self, id: &ProjectId) -> Arc<Project> {
        let projects = self.projects.read().expect("no code that holds the projects panics");
        if let Some(project) = projects.get(id) {
            project.sockets.fetch_add(1, Ordering::Relaxed);
            return project.clone();
        }
        drop(projects);
        let mut projects = self.projects.write().expect("no code that holds the projects panics");
        let project = projects.entry(id.clone()).or_insert_with(|| {
            let serial = self.next_serial.fetch_add(1, Ordering::Relaxed);
            Arc::new(Project::new(id.clone(), serial))
        });
        project.sockets.fetch_add(1, Ordering::Relaxed);
        project.clone()
    }

    /// Ends the count of a session. The last one removes the project.
    pub(crate) fn leave_project(&self, project: &Project) {
        if project.sockets.fetch_sub(1, Ordering::Relaxed) > 1 {
            return;
        }
        let mut projects = self.projects.write().expect("no code that holds the projects panics");
        if project.sockets() == 0 && projects.get(&project.id).is_some_and(|p| p.serial == project.serial) {
            projects.remove(&project.id);
            if projects.capacity() > 4 * projects.len().max(16) {
                projects.shrink_to_fit();
            }
        }
    }

    pub(crate) fn insert(&self, session: &Arc<Session>) {
        self.sessions(session.id).insert(session.id, session.clone());
    }

    pub(crate) fn remove(&self, id: SocketId) -> Option<Arc<Session>> {
        let mut stripe = self.sessions(id);
        let session = stripe.remove(&id);
        if stripe.capacity() > 4 * stripe.len().max(16) {
            stripe.shrink_to_fit();
        }
        session
    }

    /// The member set of a target, if it has a local member. [`Target::Socket`] has none.
    pub(crate) fn member_set(&self, project: &Project, target: &Target) -> Option<Arc<MemberSet<Session>>> {
        let hash = self.hash(project, target);
        self.sets(hash).find(hash, |set| is_of(set, project, target)).cloned()
    }

    pub(crate) fn member_set_or_new(
        &self,
        project: &Arc<Project>,
        target: &Target,
    ) -> Arc<MemberSet<Session>> {
        let hash = self.hash(project, target);
        self.sets(hash)
            .entry(hash, |set| is_of(set, project, target), |set| self.hash(&set.project, &set.target))
            .or_insert_with(|| {
                project.count_user(target, 1);
                Arc::new(MemberSet::new(project.clone(), target.clone()))
            })
            .get()
            .clone()
    }

    /// Removes a dead member set.
    pub(crate) fn forget(&self, dead: &Arc<MemberSet<Session>>) {
        let hash = self.hash(&dead.project, &dead.target);
        let mut stripe = self.sets(hash);
        let Ok(entry) = stripe.find_entry(hash, |set| Arc::ptr_eq(set, dead)) else { return };
        entry.remove();
        dead.project.count_user(&dead.target, -1);
        if stripe.capacity() > 4 * stripe.len().max(16) {
            stripe.shrink_to_fit(|set| self.hash(&set.project, &set.target));
        }
    }

    /// A snapshot of all sessions.
    pub fn all_sessions(&self) -> Vec<Arc<Session>> {
        let mut all = Vec::new();
        for stripe in &self.sessions {
            all.extend(stripe.lock().expect("no code that holds a stripe panics").values().cloned());
        }
        all
    }

    /// How many sessions the node has.
    pub fn len(&self) -> usize {
        let projects = self.projects.read().expect("no code that holds the projects panics");
        projects.values().map(|project| project.sockets()).sum()
    }

    /// Returns true if the node has no session.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl LocalMembers for Index {
    fn count(&self, project: &ProjectId, target: &Target) -> usize {
        if let Target::Socket(_) = target {
            return self.members(project, target).len();
        }
        let project = self.project(project);
        project.and_then(|project| self.member_set(&project, target)).map_or(0, |set| set.len())
    }

    fn members(&self, project: &ProjectId, target: &Target) -> Vec<SocketId> {
        let Some(project) = self.project(project) else { return Vec::new() };
        if let Target::Socket(id) = target {
            let session = self.session(*id).filter(|session| session.project.id == project.id);
            return session.map(|session| session.id).into_iter().collect();
        }
        let mut ids = Vec::new();
        if let Some(set) = self.member_set(&project, target) {
            set.for_each(|session| ids.push(session.id));
        }
        ids
    }

    fn count_users(&self, project: &ProjectId) -> usize {
        self.project(project).map_or(0, |project| project.users())
    }

    fn for_each_target(&self, project: &ProjectId, visit: &mut dyn FnMut(&Target)) {
        let Some(project) = self.project(project) else { return };
        for stripe in &self.sets {
            let stripe = stripe.lock().expect("no code that holds a stripe panics");
            let of_project = stripe.iter().filter(|set| set.project.serial == project.serial);
            of_project.for_each(|set| visit(&set.target));
        }
    }

    fn for_each_member(&self, visit: &mut dyn FnMut(&ProjectId, &Target, SocketId)) {
        for stripe in &self.sets {
            let sets: Vec<Arc<MemberSet<Session>>> =
                stripe.lock().expect("no code that holds a stripe panics").iter().cloned().collect();
            for set in sets {
                set.for_each(|session| visit(&set.project.id, &set.target, session.id));
            }
        }
    }
}

fn is_of(set: &MemberSet<Session>, project: &Project, target: &Target) -> bool {
    set.project.serial == project.serial && set.target == *target
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_past_rooms_and_projects_is_freed() {
        let index = Index::default();
        let projects: Vec<Arc<Project>> =
            (0..5000).map(|n| index.enter_project(&ProjectId::new(&n.to_string()).unwrap())).collect();
        let room = Target::room("r").unwrap();
        let sets: Vec<_> = projects.iter().map(|project| index.member_set_or_new(project, &room)).collect();
        sets.iter().for_each(|set| index.forget(set));
        projects.iter().for_each(|project| index.leave_project(project));
        let capacity = |stripe: &Mutex<HashTable<Arc<MemberSet<Session>>>>| stripe.lock().unwrap().capacity();
        assert!(index.sets.iter().all(|stripe| capacity(stripe) <= 64));
        assert!(index.projects.read().unwrap().capacity() <= 64);
    }
}
