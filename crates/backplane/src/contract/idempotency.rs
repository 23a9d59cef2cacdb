//! The contract tests of [`IdempotencyStore`].

use std::time::Duration;

use bytes::Bytes;

use crate::{CLAIM_LIFETIME, Claim, ClaimOutcome, IdempotencyStore, RESPONSE_LIFETIME, RequestKey};

/// How long before its end a lifetime is checked for the last time. Longer than a call takes.
const MARGIN: Duration = Duration::from_secs(5);

fn key(name: u8, content: u8) -> RequestKey {
    RequestKey { name: [name; 32], content: [content; 32] }
}

async fn try_claim(store: &dyn IdempotencyStore, key: &RequestKey) -> ClaimOutcome {
    store.claim(key).await.expect("the store replies")
}

async fn claim(store: &dyn IdempotencyStore, key: &RequestKey) -> Claim {
    match try_claim(store, key).await {
        ClaimOutcome::Claimed(claim) => claim,
        known => panic!("it is unclaimed: {known:?}"),
    }
}

async fn complete(store: &dyn IdempotencyStore, claim: &Claim, response: &'static str) {
    store.complete(claim, &Bytes::from_static(response.as_bytes())).await.expect("the store replies");
}

async fn release(store: &dyn IdempotencyStore, claim: &Claim) {
    store.release(claim).await.expect("the store replies");
}

fn done(response: &'static str) -> ClaimOutcome {
    ClaimOutcome::Completed(Bytes::from_static(response.as_bytes()))
}

/// Tests that a request is processed once, on whichever of two nodes it arrives; `one` and `two` may be the same
/// store. `advance` lets time pass.
pub async fn requests(
    one: &dyn IdempotencyStore,
    two: &dyn IdempotencyStore,
    advance: impl AsyncFn(Duration),
) {
    a_request_is_claimed_once_and_its_response_remembered(one, two).await;
    a_released_request_can_be_claimed_again(one, two).await;
    an_unfinished_claim_expires(one, two, &advance).await;
    a_response_is_forgotten_after_its_lifetime(one, two, &advance).await;
}

async fn a_request_is_claimed_once_and_its_response_remembered(
    one: &dyn IdempotencyStore,
    two: &dyn IdempotencyStore,
) {
    let (request, other) = (key(1, 1), key(1, 2));
    let claim = claim(one, &request).await;
    for node in [one, two] {
        assert_eq!(try_claim(node, &request).await, ClaimOutcome::InProgress);
        assert_eq!(try_claim(node, &other).await, ClaimOutcome::Conflict, "the content differs");
    }
    complete(one, &claim, "{\"n\":1}").await;
    for node in [one, two] {
        assert_eq!(try_claim(node, &request).await, done("{\"n\":1}"));
        assert_eq!(try_claim(node, &other).await, ClaimOutcome::Conflict);
    }
    complete(two, &claim, "twice").await;
    release(two, &claim).await;
    assert_eq!(try_claim(two, &request).await, done("{\"n\":1}"), "a claim ends once");
    assert!(
        matches!(try_claim(two, &key(2, 1)).await, ClaimOutcome::Claimed(_)),
        "another key is another request"
    );
}

async fn a_released_request_can_be_claimed_again(one: &dyn IdempotencyStore, two: &dyn IdempotencyStore) {
    let request = key(3, 1);
    let first = claim(one, &request).await;
    release(one, &first).await;
    let second = claim(two, &key(3, 2)).await;
    release(one, &first).await;
    complete(one, &first, "from an ended claim").await;
    assert_eq!(try_claim(one, &request).await, ClaimOutcome::Conflict, "the newer claim is unaffected");
    complete(two, &second, "").await;
    assert_eq!(try_claim(one, &key(3, 2)).await, done(""));
}

async fn an_unfinished_claim_expires(
    one: &dyn IdempotencyStore,
    two: &dyn IdempotencyStore,
    advance: &impl AsyncFn(Duration),
) {
    let request = key(4, 1);
    let expired = claim(one, &request).await;
    advance(CLAIM_LIFETIME - MARGIN).await;
    assert_eq!(try_claim(two, &request).await, ClaimOutcome::InProgress);
    advance(MARGIN).await;
    let claim = claim(two, &request).await;
    complete(one, &expired, "too late").await;
    release(one, &expired).await;
    assert_eq!(try_claim(one, &request).await, ClaimOutcome::InProgress, "an expired claim changes nothing");
    complete(two, &claim, "in time").await;
    assert_eq!(try_claim(one, &request).await, done("in time"));
}

async fn a_response_is_forgotten_after_its_lifetime(
    one: &dyn IdempotencyStore,
    two: &dyn IdempotencyStore,
    advance: &impl AsyncFn(Duration),
) {
    let request = key(5, 1);
    complete(one, &claim(one, &request).await, "done").await;
    advance(RESPONSE_LIFETIME - MARGIN).await;
    assert_eq!(try_claim(two, &request).await, done("done"), "a response outlives its claim");
    advance(MARGIN).await;
    claim(two, &request).await;
}
