//! The contract tests of [`RevocationStore`].

use std::time::SystemTime;

use switchboard_event::{ProjectId, TokenId, UserId, unix_ms};

use crate::{REVOKED_UNTIL_MS_MAX, Revocation, RevocationStore, RevokedTokens};

const HOUR_MS: u64 = 3_600_000;

fn project(name: &str) -> ProjectId {
    ProjectId::new(name).expect("short")
}

fn token(id: &str, until_ms: u64) -> Revocation {
    Revocation {
        project: project("p"),
        tokens: RevokedTokens::WithId(TokenId::new(id).expect("short")),
        until_ms,
    }
}

fn user(id: &str, issued_before_ms: u64, until_ms: u64) -> Revocation {
    let tokens = RevokedTokens::OfUser { user: UserId::new(id).expect("short"), issued_before_ms };
    Revocation { project: project("q:{}"), tokens, until_ms }
}

async fn put(store: &dyn RevocationStore, revocations: &[Revocation]) {
    store.save(revocations).await.expect("the store replies");
}

/// The stored revocations, sorted by key.
async fn list(store: &dyn RevocationStore) -> Vec<Revocation> {
    let mut list = store.load().await.expect("the store replies");
    list.sort_by_key(Revocation::key);
    list
}

/// Tests that what one node stores is listed by two; `one` and `two` may be the same store, which is empty.
pub async fn revocations(one: &dyn RevocationStore, two: &dyn RevocationStore) {
    assert_eq!(list(two).await, []);
    let now = unix_ms(SystemTime::now());
    let later = now + HOUR_MS;
    put(one, &[]).await;
    put(one, &[token("a", later), user("7", now, later)]).await;
    assert_eq!(list(two).await, [token("a", later), user("7", now, later)]);

    // The later times count, each for itself and in either order.
    put(two, &[user("7", now - 1, later + 1), token("a", later - 1)]).await;
    put(two, &[user("7", now + 1, later - 1), token("a", REVOKED_UNTIL_MS_MAX)]).await;
    assert_eq!(list(one).await, [token("a", REVOKED_UNTIL_MS_MAX), user("7", now + 1, later + 1)]);

    // An expired one is forgotten by the next that is stored.
    put(one, &[token("old", now - 1)]).await;
    put(one, &[token("new", later)]).await;
    let all = list(two).await;
    let names: Vec<String> = all.iter().map(Revocation::key).collect();
    assert_eq!(names, ["t1:pa", "t1:pnew", "u4:q:{}7"]);

    // More than one reply of a store may hold.
    let many: Vec<Revocation> = (0..5000).map(|number| token(&format!("many {number}"), later)).collect();
    put(one, &many).await;
    assert_eq!(list(two).await.len(), 5003);
}
