//! The metrics of the writer.

use metrics::{Counter, Gauge, counter, gauge};

/// The changes of one transaction. They are counted once the transaction is durable.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) stored: usize,
    pub(crate) evicted: usize,
    pub(crate) rejected: usize,
    pub(crate) expired: usize,
    pub(crate) acknowledged: usize,
    pub(crate) unreadable: usize,
}

pub(crate) struct Meters {
    stored: Counter,
    evicted: Counter,
    rejected: Counter,
    expired: Counter,
    acknowledged: Counter,
    unreadable: Counter,
    messages: Gauge,
    file_up: Gauge,
}

impl Meters {
    pub(crate) fn new() -> Self {
        Meters {
            stored: counter!("switchboard_inbox_stored_total"),
            evicted: counter!("switchboard_inbox_evicted_total"),
            rejected: counter!("switchboard_undelivered_total", "reason" => "inbox_full"),
            expired: counter!("switchboard_inbox_expired_total"),
            acknowledged: counter!("switchboard_inbox_acknowledged_total"),
            unreadable: counter!("switchboard_undelivered_total", "reason" => "undecodable"),
            messages: gauge!("switchboard_inbox_messages"),
            file_up: gauge!("switchboard_inbox_file_up"),
        }
    }

    pub(crate) fn add(&self, counts: &Counts) {
        for (counter, count) in [
            (&self.stored, counts.stored),
            (&self.evicted, counts.evicted),
            (&self.rejected, counts.rejected),
            (&self.expired, counts.expired),
            (&self.acknowledged, counts.acknowledged),
            (&self.unreadable, counts.unreadable),
        ] {
            counter.increment(count as u64);
        }
    }

    pub(crate) fn set_messages(&self, messages: u64) {
        self.messages.set(messages as f64);
    }

    pub(crate) fn set_file_up(&self, is_up: bool) {
        self.file_up.set(if is_up { 1.0 } else { 0.0 });
    }
}
