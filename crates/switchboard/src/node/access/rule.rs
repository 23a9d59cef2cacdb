//! The rule: what clients may do beyond the claims of their tokens.

use switchboard_event::{ProjectId, Resource, Right, Rights, UserId};
use switchboard_hub::Session;

/// The subject of a check: a client that is connected, or one that is about to connect.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) project: &'a ProjectId,
    pub(crate) session: Option<&'a Session>,
    /// The user of the token of a client that is about to connect.
    pub(crate) user: Option<&'a UserId>,
    pub(crate) claim: Option<&'a Rights>,
}

/// Decides what clients may do beyond the claim `can` of their tokens. Implemented by every
/// `Fn(&AccessRequest) -> bool`.
///
/// A claim adds to the rule and never takes away from it. The default rule allows everything to a client without a
/// claim and nothing more to a client with one.
///
/// ```
/// use switchboard::App;
/// use switchboard::access::{AccessRequest, Resource, Right};
///
/// // Everybody may read the news, and users may send to each other.
/// let app = App::new().with_access_rule(|request: &AccessRequest<'_>| match (request.right(), request.resource()) {
///     (Right::Join, Resource::Room("news")) => true,
///     (Right::Send, Resource::User(_)) => request.user().is_some(),
///     _ => false,
/// });
/// ```
pub trait AccessRule: Send + Sync + 'static {
    /// Returns true if the client may do it. Called for every operation that the claim does not allow, so it must not
    /// block.
    fn allows(&self, request: &AccessRequest<'_>) -> bool;
}

impl<F: Fn(&AccessRequest<'_>) -> bool + Send + Sync + 'static> AccessRule for F {
    fn allows(&self, request: &AccessRequest<'_>) -> bool {
        self(request)
    }
}

/// The operation that a client requests.
pub struct AccessRequest<'a> {
    subject: Subject<'a>,
    right: Right,
    resource: Resource<'a>,
}

impl<'a> AccessRequest<'a> {
    pub(crate) fn new(subject: Subject<'a>, right: Right, resource: Resource<'a>) -> Self {
        AccessRequest { subject, right, resource }
    }

    /// The project of the client.
    pub fn project(&self) -> &ProjectId {
        self.subject.project
    }

    /// The user of the client; if several, the latest.
    pub fn user(&self) -> Option<UserId> {
        match self.subject.session {
            Some(session) => session.users().pop(),
            None => self.subject.user.cloned(),
        }
    }

    /// The claim `can` of the client's token. It has been checked and does not allow this.
    pub fn claim(&self) -> Option<&Rights> {
        self.subject.claim
    }

    /// The right that is needed.
    pub fn right(&self) -> Right {
        self.right
    }

    /// The resource of the right.
    pub fn resource(&self) -> Resource<'a> {
        self.resource
    }
}
