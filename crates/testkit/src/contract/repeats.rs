//! What every `Repeats` has to do.

use std::time::Duration;

use bytes::Bytes;
use switchboard_backplane::{ANSWERED_FOR, Asked, Begun, CLAIMED_FOR, Claim, Repeats};

/// What is left of a time shortly before its end. Longer than a question takes.
const REST: Duration = Duration::from_secs(5);

fn asked(name: u8, content: u8) -> Asked {
    Asked { name: [name; 32], content: [content; 32] }
}

async fn begin(repeats: &dyn Repeats, asked: &Asked) -> Begun {
    repeats.begin(asked).await.expect("it answers")
}

async fn claim(repeats: &dyn Repeats, asked: &Asked) -> Claim {
    match begin(repeats, asked).await {
        Begun::First(claim) => claim,
        known => panic!("it is nobody's yet: {known:?}"),
    }
}

async fn finish(repeats: &dyn Repeats, claim: &Claim, answer: &'static str) {
    repeats.finish(claim, &Bytes::from_static(answer.as_bytes())).await.expect("it answers");
}

async fn release(repeats: &dyn Repeats, claim: &Claim) {
    repeats.release(claim).await.expect("it answers");
}

fn done(answer: &'static str) -> Begun {
    Begun::Done(Bytes::from_static(answer.as_bytes()))
}

/// Shows that a request is done once, whichever of two nodes it comes to; `one` and `two` may be the same.
/// `pass` lets time go by.
pub async fn requests(one: &dyn Repeats, two: &dyn Repeats, pass: impl AsyncFn(Duration)) {
    a_request_is_claimed_once_and_then_known(one, two).await;
    what_is_not_done_is_free_again(one, two).await;
    a_claim_that_nobody_ends_ends_by_itself(one, two, &pass).await;
    an_answer_is_forgotten_in_time(one, two, &pass).await;
}

async fn a_request_is_claimed_once_and_then_known(one: &dyn Repeats, two: &dyn Repeats) {
    let (request, other) = (asked(1, 1), asked(1, 2));
    let claim = claim(one, &request).await;
    for node in [one, two] {
        assert_eq!(begin(node, &request).await, Begun::UnderWay);
        assert_eq!(begin(node, &other).await, Begun::Another, "it is known what was asked for");
    }
    finish(one, &claim, "{\"n\":1}").await;
    for node in [one, two] {
        assert_eq!(begin(node, &request).await, done("{\"n\":1}"));
        assert_eq!(begin(node, &other).await, Begun::Another);
    }
    finish(two, &claim, "twice").await;
    release(two, &claim).await;
    assert_eq!(begin(two, &request).await, done("{\"n\":1}"), "a claim ends once");
    assert!(matches!(begin(two, &asked(2, 1)).await, Begun::First(_)), "another name is another request");
}

async fn what_is_not_done_is_free_again(one: &dyn Repeats, two: &dyn Repeats) {
    let request = asked(3, 1);
    let first = claim(one, &request).await;
    release(one, &first).await;
    let second = claim(two, &asked(3, 2)).await;
    release(one, &first).await;
    finish(one, &first, "not its own").await;
    assert_eq!(begin(one, &request).await, Begun::Another, "the claim of another is not touched");
    finish(two, &second, "").await;
    assert_eq!(begin(one, &asked(3, 2)).await, done(""));
}

async fn a_claim_that_nobody_ends_ends_by_itself(
    one: &dyn Repeats,
    two: &dyn Repeats,
    pass: &impl AsyncFn(Duration),
) {
    let request = asked(4, 1);
    let dead = claim(one, &request).await;
    pass(CLAIMED_FOR - REST).await;
    assert_eq!(begin(two, &request).await, Begun::UnderWay);
    pass(REST).await;
    let claim = claim(two, &request).await;
    finish(one, &dead, "too late").await;
    release(one, &dead).await;
    assert_eq!(begin(one, &request).await, Begun::UnderWay, "who is too late changes nothing");
    finish(two, &claim, "in time").await;
    assert_eq!(begin(one, &request).await, done("in time"));
}

async fn an_answer_is_forgotten_in_time(one: &dyn Repeats, two: &dyn Repeats, pass: &impl AsyncFn(Duration)) {
    let request = asked(5, 1);
    finish(one, &claim(one, &request).await, "done").await;
    pass(ANSWERED_FOR - REST).await;
    assert_eq!(begin(two, &request).await, done("done"), "whatever becomes of the claim");
    pass(REST).await;
    claim(two, &request).await;
}
