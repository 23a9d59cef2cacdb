//! The contract tests of [`RateStore`].

use crate::{RateStore, Spending};

const HOUR_NS: u64 = 3_600_000_000_000;

/// How much of a spending may be paid off between two calls of a test: more time than the calls take.
const SLACK_NS: u64 = HOUR_NS / 4;

async fn spend(store: &dyn RateStore, spendings: &[(&str, u64)]) -> Vec<u64> {
    let spendings: Vec<Spending> =
        spendings.iter().map(|(key, cost_ns)| Spending { key: (*key).into(), cost_ns: *cost_ns }).collect();
    store.spend(&spendings).await.expect("the store replies")
}

fn assert_near(found: &[u64], expected: &[u64]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!(*found <= *expected && found + SLACK_NS > *expected, "{found} is not near {expected}");
    }
}

/// Tests that the counts of nodes are summed; `one` and `two` may be the same store, which is empty.
pub async fn spending(one: &dyn RateStore, two: &dyn RateStore) {
    assert_near(&spend(one, &[]).await, &[]);
    assert_near(&spend(one, &[("a", HOUR_NS), ("b:{}", 2 * HOUR_NS)]).await, &[HOUR_NS, 2 * HOUR_NS]);
    assert_near(&spend(two, &[("b:{}", HOUR_NS), ("a", HOUR_NS)]).await, &[3 * HOUR_NS, 2 * HOUR_NS]);
    assert_near(&spend(one, &[("a", 0)]).await, &[2 * HOUR_NS]);
    // The same key twice in one call counts twice.
    assert_near(&spend(two, &[("c", HOUR_NS), ("c", HOUR_NS)]).await, &[HOUR_NS, 2 * HOUR_NS]);
    // Spending is forgotten once its time has passed.
    assert!(spend(one, &[("brief", 1_000_000)]).await[0] <= 1_000_000);
    loop {
        if spend(two, &[("brief", 0)]).await[0] == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    // 366 days, the longest memory of a rule.
    let year = 366 * 24 * HOUR_NS;
    assert_near(&spend(one, &[("year", year)]).await, &[year]);
    assert_near(&spend(two, &[("year", 0)]).await, &[year]);
    let many: Vec<String> = (0..3000).map(|number| format!("many {number}")).collect();
    let many: Vec<(&str, u64)> = many.iter().map(|key| (key.as_str(), HOUR_NS)).collect();
    assert_near(&spend(one, &many).await, &[HOUR_NS; 3000]);
}
