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
/// The store holds one time for each key, the theoretical arrival time of the generic cell rate algorithm (GCRA): a count moves
/// it into the future by the time that the counted events take at the rate of the rule.
pub trait RateStore: Send + Sync + 'static {
    /// Adds the counts of a node. Returns for each key how far its time is in the future, in ns, with the counts of all nodes.
    fn spend<'a>(&'a self, spendings: &'a [Spending]) -> BackplaneFuture<'a, Vec<u64>>;
}
