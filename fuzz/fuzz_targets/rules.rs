//! Any rate rules and names: reading does not panic, a rule is written as it is read, an event is counted by the rules that
//! match it, and in any window at most the burst and the rate pass.
#![no_main]

use libfuzzer_sys::fuzz_target;
use switchboard_event::{Cell, RateKey, RateMatcher, RateRule, RatedOperation, RATE_RULES_MAX};

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name && RatedOperation::of_name(pattern).is_none(),
    }
}

fn check_budget(rule: &RateRule) {
    let (interval_ns, burst) = (rule.rate().interval_ns(), rule.burst());
    let (mut cell, mut passed) = (Cell::default(), 0_u64);
    let mut now_ns = 1;
    for _ in 0..64 {
        match cell.take(interval_ns, burst, now_ns) {
            Ok(()) => passed += 1,
            Err(limited) => {
                let after = now_ns.saturating_add(limited.retry_after_ns);
                assert!(cell.take(interval_ns, burst, after).is_ok(), "after the time that was named");
                (passed, now_ns) = (passed + 1, after);
            }
        }
        assert!(passed <= u64::from(burst) + (now_ns - 1) / interval_ns);
    }
}

// The first line is a name. Each further line is a rate, a tab, a burst, a tab, and events with spaces between them.
fuzz_target!(|text: &str| {
    let mut lines = text.split('\n');
    let name = lines.next().unwrap_or_default();
    let rules: Vec<RateRule> = lines
        .filter_map(|line| {
            let (rate, rest) = line.split_once('\t')?;
            let (burst, events) = rest.split_once('\t')?;
            let rule = RateRule::new(events.split(' '), RateKey::User, rate).ok()?;
            burst.parse().map_or(Some(rule.clone()), |burst| rule.with_burst(burst).ok())
        })
        .take(RATE_RULES_MAX)
        .collect();
    let matcher = RateMatcher::new(&rules);
    let found: Vec<usize> = matcher.of_event(name).iter().collect();
    let expected: Vec<usize> = (0..rules.len())
        .filter(|number| rules[*number].events().iter().any(|event| matches(event, name)))
        .collect();
    assert_eq!(found, expected);
    for rule in &rules {
        let written = serde_json::to_string(rule).expect("a rule is JSON");
        let read: RateRule = serde_json::from_str(&written).expect("it is read again");
        assert_eq!(&read, rule);
        check_budget(rule);
    }
});
