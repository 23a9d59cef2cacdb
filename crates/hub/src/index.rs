//! Where sessions and groups are found: by id, and by project and name, in 64 stripes.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use switchboard_backplane::LocalMembers;
use switchboard_event::{ProjectId, SocketId, Target};

use crate::Session;
use crate::member_set::MemberSet;

const STRIPES: usize = 64;

/// What a node knows of a project while it has a socket.
pub struct Project {
    /// Its name.
    pub id: ProjectId,
    /// Keeps equal names of different projects apart without comparing the projects' names.
    serial: u64,
    sockets: AtomicUsize,
    users: AtomicUsize,
}

impl Project {
    /// Sockets on this node.
    pub fn sockets(&self) -> usize {
        self.sockets.load(Ordering::Relaxed)
    }

    /// Users with a socket on this node.
    pub fn users(&self) -> usize {
        self.users.load(Ordering::Relaxed)
    }
}

/// All sessions, groups and projects of one node.
pub struct Index {
    sessions: [Mutex<HashMap<SocketId, Arc<Session>, DefaultHashBuilder>>; STRIPES],
    groups: [Mutex<HashTable<Arc<MemberSet>>>; STRIPES],
    projects: RwLock<HashMap<ProjectId, Arc<Project>, DefaultHashBuilder>>,
    next_serial: AtomicU64,
    /// Names come from outside, so their hashes must not be guessable.
    hasher: RandomState,
}

impl Default for Index {
    fn default() -> Self {
        Index {
            sessions: std::array::from_fn(|_| Mutex::default()),
            groups: std::array::from_fn(|_| Mutex::default()),
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

    fn groups(&self, hash: u64) -> MutexGuard<'_, HashTable<Arc<MemberSet>>> {
        // The table uses the low bits itself.
        let stripe = (hash >> 48) as usize % STRIPES;
        self.groups[stripe].lock().expect("no code that holds a stripe panics")
    }

    /// The session with that id, in whatever project.
    pub fn session(&self, id: SocketId) -> Option<Arc<Session>> {
        self.sessions(id).get(&id).cloned()
    }

    /// The project, if it has a socket here.
    pub fn project(&self, id: &ProjectId) -> Option<Arc<Project>> {
        self.projects.read().expect("no code that holds the projects panics").get(id).cloned()
    }

    /// The project, for a session that is about to come. Every call is paid back by one
    /// [`leave_project`](Self::leave_project).
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
            Arc::new(Project { id: id.clone(), serial, sockets: 0.into(), users: 0.into() })
        });
        project.sockets.fetch_add(1, Ordering::Relaxed);
        project.clone()
    }

    /// The last one out takes the project away.
    pub(crate) fn leave_project(&self, project: &Project) {
        if project.sockets.fetch_sub(1, Ordering::Relaxed) > 1 {
            return;
        }
        let mut projects = self.projects.write().expect("no code that holds the projects panics");
        if project.sockets() == 0 && projects.get(&project.id).is_some_and(|p| p.serial == project.serial) {
            projects.remove(&project.id);
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

    /// The set of sockets that a target names, if it has a member here. A socket is no set.
    pub(crate) fn group(&self, project: &Project, target: &Target) -> Option<Arc<MemberSet>> {
        let hash = self.hash(project, target);
        self.groups(hash).find(hash, |group| is(group, project, target)).cloned()
    }

    pub(crate) fn member_set_or_new(&self, project: &Arc<Project>, target: &Target) -> Arc<MemberSet> {
        let hash = self.hash(project, target);
        self.groups(hash)
            .entry(hash, |group| is(group, project, target), |group| self.hash(&group.project, &group.target))
            .or_insert_with(|| {
                project.count_user(target, 1);
                Arc::new(MemberSet::new(project.clone(), target.clone()))
            })
            .get()
            .clone()
    }

    /// Takes out a dead group.
    pub(crate) fn forget(&self, dead: &Arc<MemberSet>) {
        let hash = self.hash(&dead.project, &dead.target);
        if let Ok(entry) = self.groups(hash).find_entry(hash, |group| Arc::ptr_eq(group, dead)) {
            entry.remove();
            dead.project.count_user(&dead.target, -1);
        }
    }

    /// Every session of the node; a snapshot.
    pub fn all_sessions(&self) -> Vec<Arc<Session>> {
        let mut all = Vec::new();
        for stripe in &self.sessions {
            all.extend(stripe.lock().expect("no code that holds a stripe panics").values().cloned());
        }
        all
    }

    /// How many sessions there are on the node.
    pub fn len(&self) -> usize {
        let projects = self.projects.read().expect("no code that holds the projects panics");
        projects.values().map(|project| project.sockets()).sum()
    }

    /// Whether the node has no session.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl LocalMembers for Index {
    fn count(&self, project: &ProjectId, target: &Target) -> usize {
        if let Target::Socket(_) = target {
            return self.members(project, target).len();
        }
        let known = self.project(project);
        known.and_then(|project| self.group(&project, target)).map_or(0, |group| group.len())
    }

    fn members(&self, project: &ProjectId, target: &Target) -> Vec<SocketId> {
        let Some(project) = self.project(project) else { return Vec::new() };
        if let Target::Socket(id) = target {
            let session = self.session(*id).filter(|session| session.project.id == project.id);
            return session.map(|session| session.id).into_iter().collect();
        }
        let mut ids = Vec::new();
        if let Some(group) = self.group(&project, target) {
            group.for_each(|session| ids.push(session.id));
        }
        ids
    }

    fn count_users(&self, project: &ProjectId) -> usize {
        self.project(project).map_or(0, |project| project.users())
    }

    fn for_each_target(&self, project: &ProjectId, visit: &mut dyn FnMut(&Target)) {
        let Some(project) = self.project(project) else { return };
        for stripe in &self.groups {
            let stripe = stripe.lock().expect("no code that holds a stripe panics");
            let ours = stripe.iter().filter(|group| group.project.serial == project.serial);
            ours.for_each(|group| visit(&group.target));
        }
    }

    fn for_each_member(&self, visit: &mut dyn FnMut(&ProjectId, &Target, SocketId)) {
        for stripe in &self.groups {
            let groups: Vec<Arc<MemberSet>> =
                stripe.lock().expect("no code that holds a stripe panics").iter().cloned().collect();
            for group in groups {
                group.for_each(|session| visit(&group.project.id, &group.target, session.id));
            }
        }
    }
}

impl Project {
    fn count_user(&self, target: &Target, by: isize) {
        if let Target::User(_) = target {
            self.users.fetch_add(by as usize, Ordering::Relaxed);
        }
    }
}

fn is(group: &MemberSet, project: &Project, target: &Target) -> bool {
    group.project.serial == project.serial && group.target == *target
}
