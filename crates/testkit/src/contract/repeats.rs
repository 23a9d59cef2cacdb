//! What every `IdempotencyStore` has to do.

use std::time::Duration;

use bytes::Bytes;
use switchboard_backplane::{
    CLAIM_LIFETIME, Claim, ClaimOutcome, IdempotencyStore, RESPONSE_LIFETIME, RequestKey,
};

/// What is left of a time shortly before its end. Longer than a question takes.
const REST: Duration = Duration::from_secs(5);

fn asked(name: u8, content: u8) -> RequestKey {
    RequestKey { name: [name; 32], content: [content; 32] }
}

async fn begin(repeats: &dyn IdempotencyStore, asked: &RequestKey) -> ClaimOutcome {
    repeats.claim(asked).await.expect("it answers")
}

async fn claim(repeats: &dyn IdempotencyStore, asked: &RequestKey) -> Claim {
    match begin(repeats, asked).await {
        ClaimOutcome::Claimed(claim) => claim,
        known => panic!("it is nobody's yet: {known:?}"),
    }
}

async fn finish(repeats: &dyn IdempotencyStore, claim: &Claim, answer: &'static str) {
    repeats.complete(claim, &Bytes::from_static(answer.as_bytes())).await.expect("it answers");
}

async fn release(repeats: &dyn IdempotencyStore, claim: &Claim) {
    repeats.release(claim).await.expect("it answers");
}

fn done(answer: &'static str) -> ClaimOutcome {
    ClaimOutcome::Completed(Bytes::from_static(answer.as_bytes()))
}

/// Shows that a request is done once, whichever of two nodes it comes to; `one` and `two` may be the same.
/// `pass` lets time go by.
pub async fn requests(one: &dyn IdempotencyStore, two: &dyn IdempotencyStore, pass: impl AsyncFn(Duration)) {
    a_request_is_claimed_once_and_then_known(one, two).await;
    what_is_not_done_is_free_again(one, two).await;
    a_claim_that_nobody_ends_ends_by_itself(one, two, &pass).await;
    an_answer_is_forgotten_in_time(one, two, &pass).await;
}

async fn a_request_is_claimed_once_and_then_known(one: &dyn IdempotencyStore, two: &dyn IdempotencyStore) {
    let (request, other) = (asked(1, 1), asked(1, 2));
    let claim = claim(one, &request).await;
    for node in [one, two] {
        assert_eq!(begin(node, &request).await, ClaimOutcome::InProgress);
        assert_eq!(begin(node, &other).await, ClaimOutcome::Conflict, "it is known what was asked for");
    }
    finish(one, &claim, "{\"n\":1}").await;
    for node in [one, two] {
        assert_eq!(begin(node, &request).await, done("{\"n\":1}"));
        assert_eq!(begin(node, &other).await, ClaimOutcome::Conflict);
    }
    finish(two, &claim, "twice").await;
    release(two, &claim).await;
    assert_eq!(begin(two, &request).await, done("{\"n\":1}"), "a claim ends once");
    assert!(
        matches!(begin(two, &asked(2, 1)).await, ClaimOutcome::Claimed(_)),
        "another name is another request"
    );
}

async fn what_is_not_done_is_free_again(one: &dyn IdempotencyStore, two: &dyn IdempotencyStore) {
    let request = asked(3, 1);
    let first = claim(one, &request).await;
    release(one, &first).await;
    let second = claim(two, &asked(3, 2)).await;
    release(one, &first).await;
    finish(one, &first, "not its own").await;
    assert_eq!(begin(one, &request).await, ClaimOutcome::Conflict, "the claim of another is not touched");
    finish(two, &second, "").await;
    assert_eq!(begin(one, &asked(3, 2)).await, done(""));
}

async fn a_claim_that_nobody_ends_ends_by_itself(
    one: &dyn IdempotencyStore,
    two: &dyn IdempotencyStore,
    pass: &impl AsyncFn(Duration),
) {
    let request = asked(4, 1);
    let dead = claim(one, &request).await;
    pass(CLAIM_LIFETIME - REST).await;
    assert_eq!(begin(two, &request).await, ClaimOutcome::InProgress);
    pass(REST).await;
    let claim = claim(two, &request).await;
    finish(one, &dead, "too late").await;
    release(one, &dead).await;
    assert_eq!(begin(one, &request).await, ClaimOutcome::InProgress, "who is too late changes nothing");
    finish(two, &claim, "in time").await;
    assert_eq!(begin(one, &request).await, done("in time"));
}

async fn an_answer_is_forgotten_in_time(
    one: &dyn IdempotencyStore,
    two: &dyn IdempotencyStore,
    pass: &impl AsyncFn(Duration),
) {
    let request = asked(5, 1);
    finish(one, &claim(one, &request).await, "done").await;
    pass(RESPONSE_LIFETIME - REST).await;
    assert_eq!(begin(two, &request).await, done("done"), "whatever becomes of the claim");
    pass(REST).await;
    claim(two, &request).await;
}
