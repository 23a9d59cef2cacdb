//! The rate rules of a node, and the use of their budgets.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use metrics::{Counter, Gauge, counter, gauge};
use switchboard_event::{Limited, ProjectId, RateKey, RateRule, UserId};

use crate::node::clock::now;
use crate::node::network::network;
use crate::node::rates::rules::{CompiledRule, CompiledRules};
use crate::node::rates::spent::Spent;
use crate::node::rates::table::{RateTable, RateTableKey};
use crate::node::replaceable::Replaceable;

/// The rate rules of a node.
pub(crate) struct Rates {
    /// There are rules.
    is_on: AtomicBool,
    rules: Replaceable<CompiledRules>,
    version: AtomicU64,
    pub(crate) table: RateTable,
    pub(crate) spent: Spent,
    /// Other nodes share budgets with this one.
    pub(crate) is_shared: AtomicBool,
    hasher: RandomState,
    origin: Instant,
    evicted: Counter,
    /// Users, addresses and projects in the table.
    pub(crate) keys: Gauge,
}

/// The project, user and address by which an operation is counted.
#[derive(Clone, Copy)]
pub(crate) struct RateSubject<'a> {
    pub(crate) project: &'a ProjectId,
    pub(crate) user: Option<&'a UserId>,
    pub(crate) ip: Option<IpAddr>,
}

/// The part of a subject that a rule counts. `None` stands for the socket itself.
#[derive(Clone, Copy)]
enum Counted<'a> {
    User(&'a ProjectId, &'a UserId),
    Address(IpAddr),
    Project(&'a ProjectId),
}

impl Default for Rates {
    fn default() -> Self {
        let keys = gauge!("switchboard_rate_keys");
        keys.set(0.0);
        Rates {
            keys,
            is_on: AtomicBool::new(false),
            rules: Replaceable::new(CompiledRules::default()),
            version: AtomicU64::new(0),
            table: RateTable::default(),
            spent: Spent::default(),
            is_shared: AtomicBool::new(false),
            hasher: RandomState::new(),
            origin: now(),
            evicted: counter!("switchboard_rate_keys_evicted_total"),
        }
    }
}

impl Rates {
    /// Returns true if there are rules.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    pub(crate) fn rules(&self) -> &CompiledRules {
        self.rules.get()
    }

    /// Replaces the rules. Rules that stay keep their counts.
    pub(crate) fn set_rules(&self, rules: &[RateRule], keys_max: usize) {
        let version = self.version.fetch_add(1, Ordering::Relaxed) + 1;
        self.rules.replace(CompiledRules::new(rules, keys_max, version));
        self.is_on.store(!rules.is_empty(), Ordering::Relaxed);
    }

    /// The time of the node's budgets.
    pub(crate) fn ns(&self, time: Instant) -> u64 {
        u64::try_from(time.saturating_duration_since(self.origin).as_nanos()).unwrap_or(u64::MAX)
    }

    /// The key of a subject for a rule; `None` if the rule counts the socket itself.
    pub(crate) fn key(&self, rule: &CompiledRule, subject: RateSubject<'_>) -> Option<RateTableKey> {
        let kind = match counted(rule.per, subject)? {
            Counted::User(project, user) => self.hasher.hash_one((rule.fingerprint, 0_u8, project, user)),
            Counted::Address(ip) => self.hasher.hash_one((rule.fingerprint, 1_u8, ip)),
            Counted::Project(project) => self.hasher.hash_one((rule.fingerprint, 2_u8, project)),
        };
        Some(RateTableKey(kind))
    }

    /// Counts one event for a key.
    pub(crate) fn take(
        &self,
        rules: &CompiledRules,
        rule: &CompiledRule,
        key: RateTableKey,
        subject: RateSubject<'_>,
        now_ns: u64,
    ) -> Result<(), Limited> {
        if self.table.take(key, rule.pace, rules.keys_max, now_ns)? {
            self.evicted.increment(1);
        }
        if self.is_shared.load(Ordering::Relaxed) {
            self.spent.add(key, rule.pace.interval_ns, || shared_name(rule, subject));
        }
        Ok(())
    }
}

/// The part of a subject that a rule counts.
fn counted<'a>(per: RateKey, subject: RateSubject<'a>) -> Option<Counted<'a>> {
    let address = || subject.ip.map(|ip| Counted::Address(network(ip)));
    match per {
        RateKey::Socket => None,
        RateKey::User => match subject.user {
            Some(user) => Some(Counted::User(subject.project, user)),
            None => address(),
        },
        RateKey::Address => address(),
        RateKey::Project => Some(Counted::Project(subject.project)),
    }
}

/// A key as all nodes write it. Each subject that a rule counts has a key of its own.
fn shared_name(rule: &CompiledRule, subject: RateSubject<'_>) -> String {
    let subject = match counted(rule.per, subject) {
        Some(Counted::User(project, user)) => format!("u{}:{project}{user}", project.len()),
        Some(Counted::Address(ip)) => format!("a{ip}"),
        Some(Counted::Project(project)) => format!("p{project}"),
        None => String::new(),
    };
    format!("{:016x}:{subject}", rule.fingerprint)
}
