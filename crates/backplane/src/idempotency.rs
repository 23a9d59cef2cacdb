//! Requests of backends that may come twice: who asks again under the same name is answered as before.
//!
//! Who is about to do a request claims it first, so that of all nodes it comes to at the same time one does
//! it. A claim ends by itself, since its node may die.

use std::time::Duration;

use bytes::Bytes;

use crate::future::StoreFuture;

/// How long a claim holds if nobody ends it. Longer than anything takes that is claimed.
pub const CLAIM_LIFETIME: Duration = Duration::from_secs(30);

/// How long an answer is given again.
pub const RESPONSE_LIFETIME: Duration = Duration::from_secs(600);

/// Stands for something that nobody shall read out of it.
pub type Digest = [u8; 32];

/// A request: what its sender calls it, and what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestKey {
    /// Of who asks and what they call it.
    pub name: Digest,
    /// Of all that has to be the same when it comes again.
    pub content: Digest,
}

/// The right to do a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Which request.
    pub key: RequestKey,
    /// Tells it from other claims of the same.
    pub number: u64,
}

/// What has become of a request so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// Nothing: whoever asked for the claim does it now.
    Claimed(Claim),
    /// Somebody else is doing it.
    InProgress,
    /// Under its name something else was asked for.
    Conflict,
    /// It was answered so.
    Completed(Bytes),
}

/// Remembers requests. Every implementation passes the same contract tests.
pub trait IdempotencyStore: Send + Sync + 'static {
    /// Claims a request unless it is known: one step, so that one of all who ask gets the claim.
    fn claim<'a>(&'a self, asked: &'a RequestKey) -> StoreFuture<'a, ClaimOutcome>;

    /// Ends a claim with the answer, which is given again for [`RESPONSE_LIFETIME`]. A claim that has ended by
    /// itself changes nothing.
    fn complete<'a>(&'a self, claim: &'a Claim, answer: &'a Bytes) -> StoreFuture<'a, ()>;

    /// Ends a claim as if it had never been: what was not done may be tried again.
    fn release<'a>(&'a self, claim: &'a Claim) -> StoreFuture<'a, ()>;
}
