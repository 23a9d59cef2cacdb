//! Requests that may come twice: the same `Idempotency-Key` gives the same answer, at every node.
//!
//! The node remembers what it did, and has Redis remember it for all. While Redis is away it goes by its own
//! memory alone: what can be done without Redis is done.

use std::sync::Arc;

use axum::body::Bytes;
use ring::digest::{Context, SHA256};
use switchboard_backplane::{Claim, ClaimOutcome, Digest, IdempotencyStore, RequestKey};

use super::memory::MemoryRepeats;
use super::problem::Problem;

/// All that remember requests, the nearest first.
pub(super) struct Memories(Vec<Arc<dyn IdempotencyStore>>);

/// What a request is.
pub(super) enum Coming<'a> {
    /// To be done.
    First(First<'a>),
    /// Done before, with this answer.
    Again(Bytes),
}

/// A request that is done for the first time, and has to be ended. If its task fails, its claims end by
/// themselves.
#[derive(Default)]
pub(super) struct First<'a>(Vec<(&'a dyn IdempotencyStore, Claim)>);

impl Memories {
    /// The node's own, and what all nodes share if there are others.
    pub(super) fn new(shared: Option<Arc<dyn IdempotencyStore>>) -> Self {
        let here: Arc<dyn IdempotencyStore> = Arc::new(MemoryRepeats::default());
        Memories([here].into_iter().chain(shared).collect())
    }

    /// Begins a request, or answers as it was answered.
    pub(super) async fn begin(&self, asked: &RequestKey) -> Result<Coming<'_>, Problem> {
        let mut first = First::default();
        for memory in &self.0 {
            match memory.claim(asked).await {
                Ok(ClaimOutcome::Claimed(claim)) => first.0.push((&**memory, claim)),
                Ok(known) => {
                    first.end(None).await;
                    return match known {
                        ClaimOutcome::Completed(answer) => Ok(Coming::Again(answer)),
                        ClaimOutcome::Conflict => Err(Problem::another_body()),
                        _ => Err(Problem::under_way()),
                    };
                }
                Err(error) => tracing::debug!(%error, "other nodes do not know of a request"),
            }
        }
        Ok(Coming::First(first))
    }
}

impl First<'_> {
    /// Remembers what it was answered; with no answer it was not done, and may be tried again.
    pub(super) async fn end(self, answer: Option<&Bytes>) {
        for (memory, claim) in self.0 {
            let ended = match answer {
                Some(answer) => memory.complete(&claim, answer).await,
                None => memory.release(&claim).await,
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "other nodes do not know what became of a request");
            }
        }
    }
}

/// The same at every node and after every start, and another one for other parts.
pub(super) fn digest<const N: usize>(parts: [&[u8]; N]) -> Digest {
    let mut hasher = Context::new(&SHA256);
    for part in parts {
        // So that no part can end where it likes.
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}
