//! A rate rule as it is set.

use serde::{Deserialize, Serialize};

use crate::NAME_BYTES_MAX;
use crate::rates::operation::RatedOperation;
use crate::rates::rate::Rate;

/// Most rules.
pub const RATE_RULES_MAX: usize = 64;

/// Most events of a rule.
const EVENTS_MAX: usize = 64;

/// Longest time in ns for which a rule remembers a burst: 366 days.
const MEMORY_NS_MAX: u64 = 366 * 24 * 60 * 60 * 1_000_000_000;

/// The clients that share a budget of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RateKey {
    /// All sockets of a user, on all nodes. A socket without a user counts by its address, and without one by itself.
    User,
    /// One socket.
    Socket,
    /// All sockets of an address, on all nodes. An IPv6 network of 64 bits counts as one address, a socket without an
    /// address by itself.
    Address,
    /// All sockets of a project, on all nodes.
    Project,
}

impl RateKey {
    /// The word in settings.
    pub fn name(self) -> &'static str {
        match self {
            RateKey::User => "user",
            RateKey::Socket => "socket",
            RateKey::Address => "address",
            RateKey::Project => "project",
        }
    }
}

/// The action on an event that exceeds the rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RateAction {
    /// It is not handled, and the client is notified with the code `rate_limited`.
    #[default]
    Refuse,
    /// It is not handled, and the client is not notified.
    Ignore,
    /// The client is closed with 1008.
    Close,
}

impl RateAction {
    /// The word in settings.
    pub fn name(self) -> &'static str {
        match self {
            RateAction::Refuse => "refuse",
            RateAction::Ignore => "ignore",
            RateAction::Close => "close",
        }
    }
}

/// A rule: how often clients may send certain events, or perform other operations such as a join.
///
/// ```
/// use switchboard_event::{RateAction, RateKey, RateRule};
///
/// let chat = RateRule::new(["/message", "chat_*"], RateKey::User, "10/s")?.with_burst(20)?;
/// let logins = RateRule::new(["@login"], RateKey::Address, "30/min")?.with_action(RateAction::Close);
/// # Ok::<(), switchboard_event::RateRuleError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Fields", into = "Fields")]
pub struct RateRule {
    events: Vec<String>,
    per: RateKey,
    rate: Rate,
    burst: u32,
    action: RateAction,
}

/// A rule as a table of settings.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    events: Vec<String>,
    per: RateKey,
    rate: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    burst: Option<u32>,
    #[serde(default)]
    then: RateAction,
}

/// Why a rule is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RateRuleError {
    /// There is no event, or there are too many.
    #[error("`events`: expected 1 to {EVENTS_MAX} names")]
    Events,
    /// An event is no name, no prefix with one `*` at its end, and no operation.
    #[error(
        "`events`: {0:?} is neither a name of 1 to {NAME_BYTES_MAX} bytes, nor a prefix with one * at its end, nor one of \
         @frame, @request, @join, @login, @user-info, @placement, @http"
    )]
    Event(String),
    /// The rate is not valid.
    #[error("`rate`: expected a number from 1, `/` and s, min, h or d, such as 10/s; found {0:?}")]
    Rate(String),
    /// The burst is zero, or takes longer than 366 days at the rate.
    #[error("`burst`: expected at least 1, and at most what the rate allows in 366 days")]
    Burst,
    /// Frames cannot be left out of a connection.
    #[error("`then`: a rule for @frame needs \"close\", because a frame cannot be left out")]
    Frame,
}

impl RateRule {
    /// A rule that refuses, with a burst of as many events as the rate names. An event is a name, a prefix with one `*` at
    /// its end, or a [`RatedOperation`]; `*` alone is every event.
    pub fn new<'a>(
        events: impl IntoIterator<Item = &'a str>,
        per: RateKey,
        rate: &str,
    ) -> Result<Self, RateRuleError> {
        let events: Vec<String> = events.into_iter().map(str::to_owned).collect();
        if events.is_empty() || events.len() > EVENTS_MAX {
            return Err(RateRuleError::Events);
        }
        if let Some(event) = events.iter().find(|event| !is_event(event)) {
            return Err(RateRuleError::Event(event.chars().take(64).collect()));
        }
        let rate: Rate = rate.parse().map_err(|_| RateRuleError::Rate(rate.chars().take(64).collect()))?;
        // A rule for frames cannot refuse, so it closes.
        let is_frame = events.iter().any(|event| event == RatedOperation::Frame.name());
        let action = if is_frame { RateAction::Close } else { RateAction::Refuse };
        RateRule { events, per, rate, burst: 1, action }.with_burst(rate.count())
    }

    /// Sets how many pass at once after a pause. Default: the number of the rate.
    pub fn with_burst(self, burst: u32) -> Result<Self, RateRuleError> {
        let memory_ns = self.rate.interval_ns().checked_mul(burst.into());
        match memory_ns {
            Some(1..=MEMORY_NS_MAX) => Ok(RateRule { burst, ..self }),
            _ => Err(RateRuleError::Burst),
        }
    }

    /// Sets what happens to an event that exceeds the rate. Default [`RateAction::Refuse`]; a rule for `@frame` always
    /// closes.
    pub fn with_action(self, action: RateAction) -> Self {
        let closes = self.events.iter().any(|event| event == RatedOperation::Frame.name());
        RateRule { action: if closes { RateAction::Close } else { action }, ..self }
    }

    /// The events, as they were set.
    pub fn events(&self) -> &[String] {
        &self.events
    }

    /// The clients that share a budget.
    pub fn per(&self) -> RateKey {
        self.per
    }

    /// The rate.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// How many pass at once.
    pub fn burst(&self) -> u32 {
        self.burst
    }

    /// The action on an event that exceeds the rate.
    pub fn action(&self) -> RateAction {
        self.action
    }

    /// A number that equal rules have on all nodes. It does not depend on [`action`](Self::action).
    pub fn fingerprint(&self) -> u64 {
        // FNV-1a: only the operator chooses the input, so collisions cannot be provoked.
        let text = format!("{:?}/{}/{}/{}", self.events, self.per.name(), self.rate, self.burst);
        text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }
}

/// A name, a prefix with one `*` at the end, or an operation.
fn is_event(event: &str) -> bool {
    let name = event.strip_suffix('*').unwrap_or(event);
    let is_operation = RatedOperation::of_name(event).is_some();
    let is_pattern = event.len() <= NAME_BYTES_MAX && !event.is_empty() && !name.contains('*');
    is_operation || (is_pattern && !event.starts_with('@'))
}

impl TryFrom<Fields> for RateRule {
    type Error = RateRuleError;

    fn try_from(fields: Fields) -> Result<Self, RateRuleError> {
        let Fields { events, per, rate, burst, then } = fields;
        let rule = RateRule::new(events.iter().map(String::as_str), per, &rate)?;
        let rule = match burst {
            Some(burst) => rule.with_burst(burst)?,
            None => rule,
        };
        let rule = rule.with_action(then);
        if rule.action == then { Ok(rule) } else { Err(RateRuleError::Frame) }
    }
}

impl From<RateRule> for Fields {
    fn from(rule: RateRule) -> Self {
        let RateRule { events, per, rate, burst, action } = rule;
        let burst = (burst != rate.count()).then_some(burst);
        Fields { events, per, rate: rate.to_string(), burst, then: action }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(rule: serde_json::Value) -> Result<RateRule, String> {
        serde_json::from_value(rule).map_err(|error| error.to_string())
    }

    #[test]
    fn a_rule_is_read_and_written_as_it_was_set() {
        for rule in [
            json!({ "events": ["/message", "chat_*"], "per": "user", "rate": "10/s", "burst": 20, "then": "refuse" }),
            json!({ "events": ["*"], "per": "project", "rate": "5/min", "then": "ignore" }),
            json!({ "events": ["@frame"], "per": "address", "rate": "1/h", "then": "close" }),
        ] {
            assert_eq!(serde_json::to_value(read(rule.clone()).unwrap()).unwrap(), rule);
        }
        let rule = read(json!({ "events": ["a"], "per": "socket", "rate": "7/s" })).unwrap();
        assert_eq!((rule.burst(), rule.action()), (7, RateAction::Refuse));
    }

    #[test]
    fn an_invalid_rule_is_refused_with_the_field() {
        let rule = |field: &str, value: serde_json::Value| {
            let mut rule = json!({ "events": ["a"], "per": "user", "rate": "10/s" });
            rule[field] = value;
            read(rule).unwrap_err()
        };
        for event in ["", "a*b", "**", "*a", "@typo", "@frames", &"x".repeat(257)] {
            let error = rule("events", json!(["a", event]));
            assert!(error.starts_with("`events`: ") && error.contains("@user-info"), "{event}: {error}");
        }
        assert!(rule("events", json!([])).starts_with("`events`: expected 1 to 64"));
        assert!(rule("events", json!(vec!["a"; 65])).starts_with("`events`: expected 1 to 64"));
        assert!(rule("rate", json!("10")).starts_with("`rate`: "));
        assert!(rule("burst", json!(0)).starts_with("`burst`: "));
        let year = json!({ "events": ["a"], "per": "user", "rate": "1/d", "burst": 367 });
        assert!(read(year).unwrap_err().starts_with("`burst`: "));
        assert!(rule("per", json!("users")).contains("unknown variant"));
        assert!(rule("then", json!("drop")).contains("unknown variant"));
        assert!(rule("limit", json!(1)).contains("unknown field"));
        let frames = json!({ "events": ["a", "@frame"], "per": "socket", "rate": "10/s", "then": "ignore" });
        assert!(read(frames).unwrap_err().starts_with("`then`: "));
    }

    #[test]
    fn the_fingerprint_depends_on_what_is_counted_alone() {
        let rule = RateRule::new(["a"], RateKey::User, "10/s").unwrap();
        assert_eq!(rule.fingerprint(), rule.clone().with_action(RateAction::Ignore).fingerprint());
        for other in [
            RateRule::new(["b"], RateKey::User, "10/s").unwrap(),
            RateRule::new(["a"], RateKey::Address, "10/s").unwrap(),
            RateRule::new(["a"], RateKey::User, "10/min").unwrap(),
            rule.clone().with_burst(9).unwrap(),
        ] {
            assert_ne!(other.fingerprint(), rule.fingerprint());
        }
    }
}
