//! Remembered requests of backends, so that a repeated request gets its first response.
//!
//! A node claims a request before it does the work. When the same request reaches several nodes at once, one
//! gets the claim. A claim expires by itself, because its node may crash.

use std::time::Duration;

use bytes::Bytes;

use crate::future::BackplaneFuture;

/// How long a claim is held if it is neither completed nor released: 30 s. Longer than any claimed work takes.
pub const CLAIM_LIFETIME: Duration = Duration::from_secs(30);

/// How long a response is remembered: 10 min.
pub const RESPONSE_LIFETIME: Duration = Duration::from_secs(600);

/// A SHA-256 digest. Neither keys nor bodies of requests can be read from the store.
pub type Digest = [u8; 32];

/// Identifies a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestKey {
    /// Digest of the sender and the idempotency key that it chose.
    pub name: Digest,
    /// Digest of everything that a repetition must have in common with the first request.
    pub content: Digest,
}

/// The exclusive right to process a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The request.
    pub key: RequestKey,
    /// Distinguishes this claim from earlier and later claims of the same request.
    pub number: u64,
}

/// The state of a request when a node tried to claim it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// The request is new; the caller has the claim and must process it.
    Claimed(Claim),
    /// Another caller holds the claim.
    InProgress,
    /// The same key was used for a request with other content.
    Conflict,
    /// The request was processed; this is its response.
    Completed(Bytes),
}

/// Remembers requests. Every implementation passes the same contract tests.
pub trait IdempotencyStore: Send + Sync + 'static {
    /// Claims a request if it is unknown. Atomic: one of all concurrent callers gets the claim.
    fn claim<'a>(&'a self, key: &'a RequestKey) -> BackplaneFuture<'a, ClaimOutcome>;

    /// Ends a claim with the response, which is remembered for [`RESPONSE_LIFETIME`]. Does nothing if the claim
    /// has expired.
    fn complete<'a>(&'a self, claim: &'a Claim, response: &'a Bytes) -> BackplaneFuture<'a, ()>;

    /// Ends a claim without a response, so that the request may be tried again.
    fn release<'a>(&'a self, claim: &'a Claim) -> BackplaneFuture<'a, ()>;
}
