//! Idempotency: a repeated request with the same `Idempotency-Key` gets the same response from every node.
//!
//! A request is claimed first in this node's memory, then in Redis for all nodes. While Redis is down the
//! node's own memory decides alone, so requests that need no Redis are still performed.

use std::sync::Arc;

use axum::body::Bytes;
use ring::digest::{Context, SHA256};
use switchboard_backplane::{
    Claim, ClaimOutcome, Digest, IdempotencyStore, MemoryIdempotencyStore, RequestKey,
};
use switchboard_log::{limited, printable_error};

use super::problem::Problem;

/// The stores of requests: this node's memory first, then Redis.
pub(super) struct RequestStores(Vec<Arc<dyn IdempotencyStore>>);

/// Whether a request is to be performed.
pub(super) enum Attempt<'a> {
    /// It is new and has to be performed.
    New(OpenClaim<'a>),
    /// It was performed before, with this response.
    Repeated(Bytes),
}

/// The claims of a new request. The caller has to end them; if its task fails, they expire.
#[derive(Default)]
pub(super) struct OpenClaim<'a>(Vec<(&'a dyn IdempotencyStore, Claim)>);

impl RequestStores {
    /// This node's memory, and the store that all nodes share if there is Redis.
    pub(super) fn new(shared: Option<Arc<dyn IdempotencyStore>>) -> Self {
        let here: Arc<dyn IdempotencyStore> = Arc::new(MemoryIdempotencyStore::default());
        RequestStores([here].into_iter().chain(shared).collect())
    }

    /// Claims a request, or returns its stored response.
    pub(super) async fn claim(&self, key: &RequestKey) -> Result<Attempt<'_>, Problem> {
        let mut claims = OpenClaim::default();
        for store in &self.0 {
            match store.claim(key).await {
                Ok(ClaimOutcome::Claimed(claim)) => claims.0.push((&**store, claim)),
                Ok(known) => {
                    claims.end(None).await;
                    return match known {
                        ClaimOutcome::Completed(response) => Ok(Attempt::Repeated(response)),
                        ClaimOutcome::Conflict => Err(Problem::body_mismatch()),
                        _ => Err(Problem::in_progress()),
                    };
                }
                Err(error) => {
                    limited!(
                        DEBUG,
                        error = printable_error(&error),
                        "claiming a request in Redis failed; only this node remembers it"
                    )
                }
            }
        }
        Ok(Attempt::New(claims))
    }
}

impl OpenClaim<'_> {
    /// Stores the response. `None` means that the request was not performed, and releases the claims.
    pub(super) async fn end(self, response: Option<&Bytes>) {
        for (store, claim) in self.0 {
            let ended = match response {
                Some(response) => store.complete(&claim, response).await,
                None => store.release(&claim).await,
            };
            if let Err(error) = ended {
                limited!(
                    DEBUG,
                    error = printable_error(&error),
                    "storing a response in Redis failed; other nodes cannot repeat it"
                );
            }
        }
    }
}

/// A digest of `parts` that is equal on every node and after every restart.
pub(super) fn digest<const N: usize>(parts: [&[u8]; N]) -> Digest {
    let mut hasher = Context::new(&SHA256);
    for part in parts {
        // The length separates the parts: ["ab", "c"] and ["a", "bc"] differ.
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}
