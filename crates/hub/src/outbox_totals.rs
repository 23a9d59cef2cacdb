//! How many bytes the outboxes of a node contain.

use std::collections::HashSet;
use std::sync::Arc;

use crate::hub::Hub;
use crate::session::Session;

/// Totals of all outboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutboxTotals {
    /// Bytes that are queued and not sent; a frame counts in each outbox.
    pub queued: usize,
    /// Bytes of the frames that outboxes keep in memory. A frame counts once, however many outboxes share it, and as a
    /// whole, even if all but its last byte is sent.
    pub held: usize,
}

impl OutboxTotals {
    fn of(sessions: &[Arc<Session>]) -> Self {
        let (mut totals, mut known) = (OutboxTotals::default(), HashSet::new());
        for session in sessions {
            totals.queued += session.outbox.queued_bytes();
            session.outbox.for_each_frame(|frame| {
                if known.insert(frame.as_ptr()) {
                    totals.held += frame.len();
                }
            });
        }
        totals
    }
}

impl Hub {
    /// The totals of all outboxes. Visits every session.
    pub fn outbox_totals(&self) -> OutboxTotals {
        OutboxTotals::of(&self.index().all_sessions())
    }
}
