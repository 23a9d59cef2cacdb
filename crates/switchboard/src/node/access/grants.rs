//! The rights of one connection: the claim of its token, and the memberships that depend on rights.

use std::sync::{Arc, Mutex, MutexGuard};

use switchboard_event::{Resource, Right, Rights, Target};
use switchboard_hub::{Hub, JoinError, Session};

use crate::node::access::control::AccessControl;
use crate::node::access::rule::Subject;

/// Why a client has lost rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// Its token has expired.
    Expired,
    /// Its token was revoked.
    Revoked,
    /// It has shown a token with other rights.
    Replaced,
    /// The rule has changed.
    Rule,
}

impl Lost {
    /// Returns true if the client is logged out, too.
    pub(crate) fn ends_login(self) -> bool {
        matches!(self, Lost::Expired | Lost::Revoked)
    }

    /// The word for clients and metrics.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Lost::Expired => "expired",
            Lost::Revoked => "revoked",
            Lost::Replaced => "replaced",
            Lost::Rule => "rule",
        }
    }
}

/// The rights of one connection.
///
/// The lock is held while a membership is checked and made, and while a claim is replaced and memberships end: no
/// membership outlives the right that gave it. It precedes the locks of the hub.
#[derive(Default)]
pub(crate) struct Grants(Mutex<State>);

#[derive(Default)]
struct State {
    claim: Option<Arc<Rights>>,
    /// Rooms and tags that were joined for the client. All others do not depend on rights.
    held: Vec<Target>,
}

impl State {
    fn hold(&mut self, target: &Target) {
        if !self.held.contains(target) {
            self.held.push(target.clone());
        }
    }

    fn allows(&self, control: &AccessControl, session: &Session, right: Right, target: &Target) -> bool {
        let project = &session.project.id;
        let subject = Subject { project, session: Some(session), user: None, claim: self.claim.as_deref() };
        control.allows(subject, right, Resource::from(target))
    }

    fn leave_lost(&mut self, control: &AccessControl, hub: &Hub, session: &Arc<Session>) -> Vec<Target> {
        let held = std::mem::take(&mut self.held);
        let (kept, lost) =
            held.into_iter().partition(|target| self.allows(control, session, Right::Join, target));
        self.held = kept;
        let mut lost: Vec<Target> = lost;
        lost.retain(|target| hub.leave(session, target));
        lost
    }
}

impl Grants {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no code that holds the lock panics")
    }

    /// The rooms and tags that depend on the client's rights.
    pub(crate) fn held(&self) -> Vec<Target> {
        self.lock().held.clone()
    }

    /// The claim of the token.
    pub(crate) fn claim(&self) -> Option<Arc<Rights>> {
        self.lock().claim.clone()
    }

    /// Joins a target if the client may. `None` means that it may not.
    pub(crate) fn join(
        &self,
        control: &AccessControl,
        hub: &Hub,
        session: &Arc<Session>,
        right: Right,
        target: &Target,
    ) -> Result<Option<bool>, JoinError> {
        let mut state = self.lock();
        if !state.allows(control, session, right, target) {
            return Ok(None);
        }
        let joined = hub.join(session, target)?;
        // A membership that the server has made stays the server's.
        if joined {
            state.hold(target);
        }
        Ok(Some(joined))
    }

    /// Joins a target. The membership no longer depends on rights.
    pub(crate) fn join_for_server(
        &self,
        hub: &Hub,
        session: &Arc<Session>,
        target: &Target,
    ) -> Result<bool, JoinError> {
        let mut state = self.lock();
        let joined = hub.join(session, target)?;
        state.held.retain(|held| held != target);
        Ok(joined)
    }

    pub(crate) fn leave(&self, hub: &Hub, session: &Arc<Session>, target: &Target) -> bool {
        let mut state = self.lock();
        state.held.retain(|held| held != target);
        hub.leave(session, target)
    }

    /// Replaces the claim. Returns the memberships that it ended.
    pub(crate) fn replace_claim(
        &self,
        control: &AccessControl,
        hub: &Hub,
        session: &Arc<Session>,
        claim: Option<Arc<Rights>>,
    ) -> Vec<Target> {
        let mut state = self.lock();
        state.claim = claim;
        state.leave_lost(control, hub, session)
    }

    /// Ends the memberships that the client may no longer have, and returns them.
    pub(crate) fn leave_lost(
        &self,
        control: &AccessControl,
        hub: &Hub,
        session: &Arc<Session>,
    ) -> Vec<Target> {
        self.lock().leave_lost(control, hub, session)
    }
}
