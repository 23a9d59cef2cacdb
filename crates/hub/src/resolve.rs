//! Resolves an audience to the sessions of this node.
//!
//! The work is bounded by the distinct targets and their members: a target that is named again is skipped, and
//! everyone includes all others.

use std::collections::HashSet;
use std::sync::Arc;

use switchboard_event::{Audience, ProjectId, SocketId, Target};

use crate::index::Index;
use crate::project::Project;
use crate::session::Session;

/// A set of ids that the server has drawn, so its hashes need not be keyed.
type SocketIds = hashbrown::HashSet<SocketId>;

/// Up to this many targets are compared with one another, which allocates nothing.
const COMPARED_MAX: usize = 8;

/// Calls `visit` once for each session of an audience, under the lock of a member set: it must be short and
/// must not take another member set's lock.
pub(crate) fn for_each_session(
    index: &Index,
    project: &ProjectId,
    audience: &Audience,
    mut visit: impl FnMut(&Arc<Session>),
) {
    let Some(project) = index.project(project) else { return };
    let excluded = Excluded::resolve(index, &project, &audience.except);
    let mut visit_included = |session: &Arc<Session>| {
        if !excluded.contains(session.id) {
            visit(session);
        }
    };
    match &*audience.to {
        [target] => for_each_member(index, &project, target, visit_included),
        targets if targets.contains(&Target::Everyone) => {
            for_each_member(index, &project, &Target::Everyone, visit_included);
        }
        targets => {
            let mut seen = SocketIds::new();
            for_each_distinct(targets, |target| {
                for_each_member(index, &project, target, |session| {
                    if seen.insert(session.id) {
                        visit_included(session);
                    }
                });
            });
        }
    }
}

fn for_each_member(index: &Index, project: &Project, target: &Target, mut visit: impl FnMut(&Arc<Session>)) {
    if let Target::Socket(id) = target {
        let session = index.session(*id).filter(|session| session.project.id == project.id);
        session.iter().for_each(visit);
    } else if let Some(members) = index.member_set(project, target) {
        members.for_each(&mut visit);
    }
}

/// Calls `visit` with each target once.
fn for_each_distinct<'a>(targets: &'a [Target], mut visit: impl FnMut(&'a Target)) {
    if targets.len() <= COMPARED_MAX {
        for (position, target) in targets.iter().enumerate() {
            if !targets[..position].contains(target) {
                visit(target);
            }
        }
    } else {
        // Clients choose the names: the hashes are keyed, so that no list provokes collisions.
        let mut known = HashSet::with_capacity(targets.len());
        targets.iter().filter(|target| known.insert(*target)).for_each(visit);
    }
}

/// The excluded sockets. Most sends exclude nobody or the sender, which needs no set.
enum Excluded {
    Nobody,
    One(SocketId),
    Many(SocketIds),
    Everyone,
}

impl Excluded {
    fn resolve(index: &Index, project: &Project, except: &[Target]) -> Self {
        match except {
            [] => Excluded::Nobody,
            [Target::Socket(id)] => Excluded::One(*id),
            many if many.contains(&Target::Everyone) => Excluded::Everyone,
            many => {
                let mut ids = SocketIds::new();
                for_each_distinct(many, |target| {
                    for_each_member(index, project, target, |session| {
                        ids.insert(session.id);
                    });
                });
                Excluded::Many(ids)
            }
        }
    }

    fn contains(&self, id: SocketId) -> bool {
        match self {
            Excluded::Nobody => false,
            Excluded::One(one) => *one == id,
            Excluded::Many(ids) => ids.contains(&id),
            Excluded::Everyone => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(n: usize) -> Target {
        Target::user(&n.to_string()).unwrap()
    }

    fn visited(targets: &[Target]) -> Vec<&Target> {
        let mut visited = Vec::new();
        for_each_distinct(targets, |target| visited.push(target));
        visited
    }

    #[test]
    fn a_repeated_target_is_visited_once_and_the_order_is_kept() {
        for (distinct, repeats) in [(1, 2), (2, 3), (COMPARED_MAX, 1), (COMPARED_MAX + 1, 1), (3, 10_000)] {
            let once: Vec<Target> = (0..distinct).map(user).collect();
            let repeated: Vec<Target> = (0..repeats).flat_map(|_| once.clone()).collect();
            assert_eq!(visited(&repeated), once.iter().collect::<Vec<_>>(), "{distinct} times {repeats}");
        }
        assert!(visited(&[]).is_empty());
    }
}
