//! Budgets of rate rules that all nodes share.

use crate::future::BackplaneFuture;

/// The events that a node has counted for one key of a rule since it last shared the count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spending {
    /// The rule and the user, address or project.
    pub key: String,
    /// The time in ns that the counted events take at the rate of the rule.
    pub cost_ns: u64,
}

/// Sums the counts of all nodes. Every implementation passes the same contract tests.
///
/// For each key there is one time, as in the generic cell rate algorithm: when everything that was counted has taken its time
/// at the rate of the rule.
pub trait RateStore: Send + Sync + 'static {
    /// Adds what a node has counted. Returns for each key how long from now, in ns, everything that all nodes have counted
    /// takes.
    fn spend<'a>(&'a self, spendings: &'a [Spending]) -> BackplaneFuture<'a, Vec<u64>>;
}
