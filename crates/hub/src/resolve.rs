//! Resolves an audience to the sessions of this node.

use std::sync::Arc;

use hashbrown::HashSet;
use switchboard_event::{Audience, ProjectId, SocketId, Target};

use crate::index::Index;
use crate::session::Session;

/// Calls `visit` once for each session of an audience, under the lock of a member set: it must be short and
/// must not take another member set's lock.
pub(crate) fn for_each_session(
    index: &Index,
    project: &ProjectId,
    audience: &Audience,
    mut visit: impl FnMut(&Arc<Session>),
) {
    let excluded = Excluded::resolve(index, project, &audience.except);
    if let [target] = &*audience.to {
        for_each_member(index, project, target, |session| {
            if !excluded.contains(session.id) {
                visit(session);
            }
        });
    } else {
        let mut seen = HashSet::new();
        for target in &audience.to {
            for_each_member(index, project, target, |session| {
                if !excluded.contains(session.id) && seen.insert(session.id) {
                    visit(session);
                }
            });
        }
    }
}

fn for_each_member(
    index: &Index,
    project: &ProjectId,
    target: &Target,
    mut visit: impl FnMut(&Arc<Session>),
) {
    if let Target::Socket(id) = target {
        let session = index.session(*id).filter(|session| session.project.id == *project);
        session.iter().for_each(visit);
    } else if let Some(project) = index.project(project)
        && let Some(members) = index.member_set(&project, target)
    {
        members.for_each(&mut visit);
    }
}

/// The excluded sockets. Most sends exclude nobody or the sender, which needs no set.
enum Excluded {
    Nobody,
    One(SocketId),
    Many(HashSet<SocketId>),
}

impl Excluded {
    fn resolve(index: &Index, project: &ProjectId, except: &[Target]) -> Self {
        match except {
            [] => Excluded::Nobody,
            [Target::Socket(id)] => Excluded::One(*id),
            many => {
                let mut ids = HashSet::new();
                for target in many {
                    for_each_member(index, project, target, |session| {
                        ids.insert(session.id);
                    });
                }
                Excluded::Many(ids)
            }
        }
    }

    fn contains(&self, id: SocketId) -> bool {
        match self {
            Excluded::Nobody => false,
            Excluded::One(one) => *one == id,
            Excluded::Many(ids) => ids.contains(&id),
        }
    }
}
