//! The access rule of a node, and the check that combines it with the claim of a client.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use switchboard_event::{Resource, Right};
use switchboard_log::{limited, printable};

use crate::node::access::rule::{AccessRequest, AccessRule, Subject};
use crate::node::replaceable::Replaceable;
use crate::node::tasks::panic_message;

/// The rule of a node, and whether rights matter at all.
pub(crate) struct AccessControl {
    is_enabled: AtomicBool,
    /// `None` means that a client without a claim may do everything.
    rule: Replaceable<Option<Arc<dyn AccessRule>>>,
}

impl Default for AccessControl {
    fn default() -> Self {
        AccessControl { is_enabled: AtomicBool::new(false), rule: Replaceable::new(None) }
    }
}

impl AccessControl {
    /// Returns true if a client may be restricted.
    pub(crate) fn is_enabled(&self) -> bool {
        self.is_enabled.load(Ordering::Relaxed)
    }

    pub(crate) fn set_rule(&self, rule: Option<Arc<dyn AccessRule>>) {
        self.rule.replace(rule);
        self.enable();
    }

    /// Checks rights from now on. Memberships from before do not depend on them.
    pub(crate) fn enable(&self) {
        self.is_enabled.store(true, Ordering::Relaxed);
    }

    /// Returns true if the claim or the rule allows it.
    pub(crate) fn allows(&self, subject: Subject<'_>, right: Right, resource: Resource<'_>) -> bool {
        if !self.is_enabled() || subject.claim.is_some_and(|claim| claim.allow(right, resource)) {
            return true;
        }
        match self.rule.get() {
            Some(rule) => ask(&**rule, &AccessRequest::new(subject, right, resource)),
            None => subject.claim.is_none(),
        }
    }
}

/// Calls the rule. A panic refuses, because the caller may hold a lock.
fn ask(rule: &dyn AccessRule, request: &AccessRequest<'_>) -> bool {
    catch_unwind(AssertUnwindSafe(|| rule.allows(request))).unwrap_or_else(|panic| {
        limited!(
            ERROR,
            panic = printable(panic_message(&*panic)),
            "access rule panicked; the operation is refused"
        );
        false
    })
}
