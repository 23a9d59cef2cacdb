//! Rate rules: checks events and other operations of clients against the rules of the settings.
//!
//! While there are no rules, a check is one load and one branch. A rule that counts sockets keeps its number in the
//! connection; all others share one [table](table). Nodes share their counts every [`SHARE_INTERVAL`], so a
//! check never waits: a user can have one burst on each node before all nodes know.

pub(crate) mod connection;
pub(crate) mod rules;
pub(crate) mod spent;
pub(crate) mod state;
pub(crate) mod table;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use switchboard_backplane::{RateStore, Spending};
use switchboard_event::{Limited, Name, ProjectId, RateAction, RatedOperation, RuleSet};
use switchboard_hub::Session;
use switchboard_log::{limited, limited_by, printable, printable_error};
use switchboard_ws::close::CloseCode;

use crate::node::Node;
use crate::node::address_table::SWEEP_INTERVAL;
use crate::node::clock::now;
use crate::node::connection_state::ConnectionState;
use crate::node::errors::RateLimited;
use crate::node::logged_client::LoggedClient;
use crate::node::rates::connection::ConnectionRateState;
use crate::node::rates::rules::CompiledRules;
use crate::node::rates::state::RateSubject;
use crate::node::rates::table::RateTableKey;
use crate::node::refused_event::RefusedEvent;

/// How often nodes share their counts.
const SHARE_INTERVAL: Duration = Duration::from_millis(100);

/// A rule is exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exceeded {
    pub(crate) action: RateAction,
    pub(crate) error: RateLimited,
}

impl Exceeded {
    /// The refusal of the event, for its client; `None` if the rule does not announce it.
    pub(crate) fn refused(self, event: &str) -> Option<RefusedEvent<'_>> {
        (self.action == RateAction::Refuse).then(|| RefusedEvent {
            retry_after_ms: Some(self.error.retry_after_ms()),
            ..RefusedEvent::new(event, "rate_limited", self.error.to_string())
        })
    }
}

/// Checks an event of a client. The client is closed if the rule says so.
#[inline]
pub(crate) fn check_event(
    node: &Arc<Node>,
    session: &Arc<Session>,
    name: &Name,
    is_request: bool,
    time: Instant,
) -> Result<(), Exceeded> {
    if !node.rates.is_on() {
        return Ok(());
    }
    check(node, session, name, time, |state, rules| {
        let of_name = state.rules_of(name, rules);
        match is_request {
            true => of_name.union(rules.matcher.of_operation(RatedOperation::Request)),
            false => of_name,
        }
    })
}

/// Checks an operation of a connected client. The client is closed if the rule says so.
#[inline]
pub(crate) fn check_operation(
    node: &Arc<Node>,
    session: &Arc<Session>,
    operation: RatedOperation,
) -> Result<(), Exceeded> {
    if !node.rates.is_on() {
        return Ok(());
    }
    check(node, session, operation.name(), now(), |_, rules| rules.matcher.of_operation(operation))
}

/// Checks frames of a client, which the caller closes.
#[inline]
pub(crate) fn check_frames(
    node: &Arc<Node>,
    session: &Arc<Session>,
    count: u32,
    time: Instant,
) -> Result<(), Exceeded> {
    if !node.rates.is_on() || node.rates.rules().matcher.of_operation(RatedOperation::Frame).is_empty() {
        return Ok(());
    }
    let frame = RatedOperation::Frame;
    (0..count).try_for_each(|_| {
        check(node, session, frame.name(), time, |_, rules| rules.matcher.of_operation(frame))
    })
}

/// Checks an operation of a client that is not connected. A rule that counts sockets does not count it.
pub(crate) fn check_unconnected(
    node: &Node,
    project: &ProjectId,
    ip: Option<IpAddr>,
    operation: RatedOperation,
) -> Result<(), Exceeded> {
    if !node.rates.is_on() {
        return Ok(());
    }
    let subject = RateSubject { project, user: None, ip };
    let rules = node.rates.rules();
    let budgets = Budgets { node, rules, own: None, subject };
    let outcome = budgets.take_all(rules.matcher.of_operation(operation), node.rates.ns(now()));
    outcome.map_err(|(rule, limited)| {
        exceeded(rules, rule, limited, LoggedClient::Connecting(None, ip), operation.name())
    })
}

#[inline(never)]
fn check(
    node: &Arc<Node>,
    session: &Arc<Session>,
    what: &str,
    time: Instant,
    find: impl FnOnce(&mut ConnectionRateState, &CompiledRules) -> RuleSet,
) -> Result<(), Exceeded> {
    let rules = node.rates.rules();
    let state = ConnectionState::of(session);
    let mut own = state.rates_or_new().lock();
    own.renew(rules);
    let found = find(&mut own, rules);
    if found.is_empty() {
        return Ok(());
    }
    let user = if rules.count_users { session.user() } else { None };
    let subject = RateSubject { project: &session.project.id, user: user.as_ref(), ip: state.info.ip() };
    let budgets = Budgets { node, rules, own: Some(&mut own), subject };
    let outcome = budgets.take_all(found, node.rates.ns(time));
    drop(own);
    outcome.map_err(|(rule, limited)| {
        let exceeded = exceeded(rules, rule, limited, LoggedClient::Connected(session), what);
        if exceeded.action == RateAction::Close {
            let why = format!("over the rate of {} in rule {}", rules.rules[rule].rate, rule + 1);
            node.close(session, CloseCode::POLICY, &why);
        }
        exceeded
    })
}

/// Counts and logs that a rule is exceeded.
fn exceeded(
    rules: &CompiledRules,
    number: usize,
    limited: Limited,
    client: LoggedClient<'_>,
    what: &str,
) -> Exceeded {
    let rule = &rules.rules[number];
    rule.exceeded.increment(1);
    let (per, number, then) = (rule.per.name(), number + 1, rule.action.name());
    limited_by!(
        per,
        INFO,
        socket = client.socket(),
        client = client.address(),
        user = client.printable_user(),
        rule = number,
        rate = printable(&rule.rate),
        per,
        event = printable(what),
        then,
        "rate rule exceeded"
    );
    let retry_after = Duration::from_nanos(limited.retry_after_ns);
    Exceeded { action: rule.action, error: RateLimited { retry_after } }
}

/// The budgets of the rules that count one event.
struct Budgets<'a> {
    node: &'a Node,
    rules: &'a CompiledRules,
    /// `None` for a client that is not connected.
    own: Option<&'a mut ConnectionRateState>,
    subject: RateSubject<'a>,
}

impl Budgets<'_> {
    /// Takes from all budgets. If one is used up, the others get it back, and its rule is part of the error.
    fn take_all(mut self, found: RuleSet, now_ns: u64) -> Result<(), (usize, Limited)> {
        for number in found.iter() {
            if let Err(limited) = self.take(number, now_ns) {
                found.iter().take_while(|done| *done != number).for_each(|done| self.give_back(done));
                return Err((number, limited));
            }
        }
        Ok(())
    }

    fn take(&mut self, number: usize, now_ns: u64) -> Result<(), Limited> {
        let rule = &self.rules.rules[number];
        match (self.key(number), &mut self.own) {
            (Some(key), _) => self.node.rates.take(self.rules, rule, key, self.subject, now_ns),
            (None, Some(own)) => own.cell(number).take(rule.pace.interval_ns, rule.pace.burst, now_ns),
            (None, None) => Ok(()),
        }
    }

    fn give_back(&mut self, number: usize) {
        let pace = self.rules.rules[number].pace;
        match (self.key(number), &mut self.own) {
            (Some(key), _) => self.node.rates.table.give_back(key, pace),
            (None, Some(own)) => own.cell(number).give_back(pace.interval_ns),
            (None, None) => {}
        }
    }

    /// The key of a rule; `None` if it counts the socket itself.
    fn key(&mut self, number: usize) -> Option<RateTableKey> {
        let (rates, rule, subject) = (&self.node.rates, &self.rules.rules[number], self.subject);
        let make = || rates.key(rule, subject);
        match &mut self.own {
            Some(own) => own.key(number, subject.user, make),
            None => make(),
        }
    }
}

/// Shares this node's counts with other nodes, and forgets keys that no longer matter.
pub(crate) async fn run(node: Arc<Node>) {
    let store = node.rate_store().cloned();
    node.rates.is_shared.store(store.is_some(), Ordering::Relaxed);
    let mut swept = now();
    loop {
        let is_sharing = store.is_some() && node.rates.is_on();
        tokio::time::sleep(if is_sharing { SHARE_INTERVAL } else { SWEEP_INTERVAL / 10 }).await;
        if let Some(store) = &store {
            share(&node, &**store).await;
        }
        if now().saturating_duration_since(swept) >= SWEEP_INTERVAL {
            swept = now();
            let keys = node.rates.table.sweep(node.rates.ns(swept));
            node.rates.keys.set(keys as f64);
        }
    }
}

/// Shares this node's counts. Without an answer they are forgotten: each node then counts alone.
async fn share(node: &Node, store: &dyn RateStore) {
    let (keys, spendings): (Vec<RateTableKey>, Vec<Spending>) = {
        let spent = node.rates.spent.take().into_iter();
        spent.map(|(key, spent)| (key, Spending { key: spent.name, cost_ns: spent.cost_ns })).unzip()
    };
    if spendings.is_empty() {
        return;
    }
    match store.spend(&spendings).await {
        Ok(ends) => {
            let now_ns = node.rates.ns(now());
            for (key, end) in keys.into_iter().zip(ends) {
                node.rates.table.raise(key, now_ns.saturating_add(end));
            }
        }
        Err(error) => limited!(
            WARN,
            error = printable_error(&error),
            "budgets of rate rules not shared; each node counts alone"
        ),
    }
}
