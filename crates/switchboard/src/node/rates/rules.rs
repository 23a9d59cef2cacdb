//! The rules of a node, compiled, with their metrics.

use metrics::{Counter, counter};
use switchboard_event::{RateAction, RateKey, RateMatcher, RateRule};

use crate::node::rates::table::Pace;

/// The rules of a node.
#[derive(Default)]
pub(crate) struct CompiledRules {
    /// Increases with each replacement.
    pub(crate) version: u64,
    pub(crate) matcher: RateMatcher,
    pub(crate) rules: Vec<CompiledRule>,
    pub(crate) keys_max: usize,
    /// True if at least one rule counts users.
    pub(crate) count_users: bool,
}

/// A rule with the values that are computed from it.
pub(crate) struct CompiledRule {
    pub(crate) per: RateKey,
    pub(crate) action: RateAction,
    pub(crate) pace: Pace,
    pub(crate) fingerprint: u64,
    /// The rate in words.
    pub(crate) rate: String,
    pub(crate) exceeded: Counter,
}

impl CompiledRules {
    pub(crate) fn new(rules: &[RateRule], keys_max: usize, version: u64) -> Self {
        let compile = |(number, rule): (usize, &RateRule)| CompiledRule::new(number, rule);
        CompiledRules {
            version,
            matcher: RateMatcher::new(rules),
            rules: rules.iter().enumerate().map(compile).collect(),
            keys_max,
            count_users: rules.iter().any(|rule| rule.per() == RateKey::User),
        }
    }
}

impl CompiledRule {
    fn new(number: usize, rule: &RateRule) -> Self {
        let outcome = match rule.action() {
            RateAction::Refuse => "refused",
            RateAction::Ignore => "ignored",
            RateAction::Close => "closed",
        };
        let number = (number + 1).to_string();
        CompiledRule {
            per: rule.per(),
            action: rule.action(),
            pace: Pace { interval_ns: rule.rate().interval_ns(), burst: rule.burst() },
            fingerprint: rule.fingerprint(),
            rate: rule.rate().to_string(),
            exceeded: counter!("switchboard_rate_limited_total", "rule" => number, "outcome" => outcome),
        }
    }
}
