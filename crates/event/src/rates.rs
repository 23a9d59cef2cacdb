//! Rate rules: how often clients may send events and perform other operations.
//!
//! A rule counts what one user, socket, address or project does, by the generic cell rate algorithm (GCRA): one number
//! for each of them. There is no clock here.

mod cell;
mod matcher;
mod operation;
mod rate;
mod rule;

pub use cell::{Cell, Limited};
pub use matcher::{RateMatcher, RuleSet};
pub use operation::RatedOperation;
pub use rate::{Rate, RateError};
pub use rule::{RATE_RULES_MAX, RateAction, RateKey, RateRule, RateRuleError};
