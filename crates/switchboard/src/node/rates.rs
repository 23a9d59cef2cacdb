//! Rate rules: checks events and other operations of clients against the rules of the settings.
//!
//! While there are no rules, a check is one load and one branch. A rule that counts sockets keeps its number in the
//! connection; all others share one [table](table). Nodes tell each other every [`SHARE_INTERVAL`] what they have counted, so a
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

use metrics::gauge;
use switchboard_backplane::{RateStore, Spending};
use switchboard_event::{Limited, Name, ProjectId, RateAction, RatedOperation, RuleSet, SocketId};
use switchboard_hub::Session;
use switchboard_log::{limited, limited_by, printable, printable_error};
use switchboard_ws::close::CloseCode;

use crate::node::Node;
use crate::node::address_table::SWEEP_INTERVAL;
use crate::node::clock::now;
use crate::node::connection_state::ConnectionState;
use crate::node::errors::RateLimited;
use crate::node::rates::connection::ConnectionRateState;
use crate::node::rates::rules::CompiledRules;
use crate::node::rates::state::RateSubject;
use crate::node::rates::table::RateTableKey;

/// How often nodes share what they have counted.
const SHARE_INTERVAL: Duration = Duration::from_millis(100);

/// A rule is exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exceeded {
    pub(crate) action: RateAction,
    pub(crate) error: RateLimited,
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
    let taken = Taken::new(node, rules, None);
    let outcome = taken.take_all(subject, rules.matcher.of_operation(operation), node.rates.ns(now()));
    outcome.map_err(|(rule, limited)| exceeded(rules, rule, limited, None, operation.name()))
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
    let user = session.user();
    let subject = RateSubject { project: &session.project.id, user: user.as_ref(), ip: state.info.ip() };
    let taken = Taken::new(node, rules, Some(&mut own));
    let outcome = taken.take_all(subject, found, node.rates.ns(time));
    drop(own);
    outcome.map_err(|(rule, limited)| {
        let exceeded = exceeded(rules, rule, limited, Some(session.id), what);
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
    socket: Option<SocketId>,
    what: &str,
) -> Exceeded {
    let rule = &rules.rules[number];
    rule.exceeded.increment(1);
    let socket = socket.map(|socket| socket.to_string()).unwrap_or_default();
    let (per, number) = (rule.per.name(), number + 1);
    limited_by!(
        per,
        INFO,
        socket,
        rule = number,
        rate = printable(&rule.rate),
        per,
        event = printable(what),
        "rate rule exceeded; the event is not handled"
    );
    let retry_after = Duration::from_nanos(limited.retry_after_ns);
    Exceeded { action: rule.action, error: RateLimited { retry_after } }
}

/// The budgets that one event takes from. If one is used up, the others get it back.
struct Taken<'a> {
    node: &'a Node,
    rules: &'a CompiledRules,
    /// `None` for a client that is not connected.
    own: Option<&'a mut ConnectionRateState>,
    /// The rules that have counted, with their keys; without one, the socket's own budget.
    done: Vec<(usize, Option<RateTableKey>)>,
}

impl<'a> Taken<'a> {
    fn new(node: &'a Node, rules: &'a CompiledRules, own: Option<&'a mut ConnectionRateState>) -> Self {
        Taken { node, rules, own, done: Vec::new() }
    }

    /// The number of the rule that is exceeded is part of the error.
    fn take_all(
        mut self,
        subject: RateSubject<'_>,
        found: RuleSet,
        now_ns: u64,
    ) -> Result<(), (usize, Limited)> {
        let is_one = { found.iter().nth(1).is_none() };
        for number in found.iter() {
            match self.take(number, subject, now_ns) {
                Ok(key) if !is_one => self.done.push((number, key)),
                Ok(_) => {}
                Err(limited) => {
                    self.give_back();
                    return Err((number, limited));
                }
            }
        }
        Ok(())
    }

    fn take(
        &mut self,
        number: usize,
        subject: RateSubject<'_>,
        now_ns: u64,
    ) -> Result<Option<RateTableKey>, Limited> {
        let (rates, rule) = (&self.node.rates, &self.rules.rules[number]);
        let make = || rates.key(rule, subject);
        let key = match &mut self.own {
            Some(own) => own.key(number, subject.user, || make()),
            None => make(),
        };
        match (key, &mut self.own) {
            (Some(key), _) => rates.take(self.rules, rule, key, subject, now_ns)?,
            (None, Some(own)) => own.cell(number).take(rule.pace.interval_ns, rule.pace.burst, now_ns)?,
            (None, None) => {}
        }
        Ok(key)
    }

    fn give_back(&mut self) {
        for (number, key) in std::mem::take(&mut self.done) {
            let pace = self.rules.rules[number].pace;
            match (key, &mut self.own) {
                (Some(key), _) => self.node.rates.table.give_back(key, pace),
                (None, Some(own)) => own.cell(number).give_back(pace.interval_ns),
                (None, None) => {}
            }
        }
    }
}

/// Shares with other nodes what this one has counted, and forgets keys whose use no longer matters.
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
            gauge!("switchboard_rate_keys").set(keys as f64);
        }
    }
}

/// Shares what this node has counted. Without an answer it is forgotten: each node then counts alone.
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
