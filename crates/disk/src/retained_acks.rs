//! Acknowledgements that could not be written. They are written once the file works again, so that their messages
//! are not delivered a second time.

use metrics::{Counter, counter};
use switchboard_event::{MessageNumber, ProjectId, UserId};

/// Maximum number of message numbers and acknowledgements in memory. At the bound an acknowledgement is dropped, and
/// its messages are delivered again.
const SIZE_MAX: usize = 131_072;

/// The acknowledged messages of one user.
pub(crate) type Ack = (ProjectId, UserId, Vec<MessageNumber>);

pub(crate) struct RetainedAcks {
    acks: Vec<Ack>,
    /// The number of acknowledgements and of the message numbers in them.
    size: usize,
    dropped: Counter,
}

impl RetainedAcks {
    pub(crate) fn new() -> Self {
        let dropped = counter!("switchboard_inbox_receipts_dropped_total");
        RetainedAcks { acks: Vec::new(), size: 0, dropped }
    }

    pub(crate) fn add(&mut self, ack: Ack) {
        let size = 1 + ack.2.len();
        if self.size + size > SIZE_MAX {
            return self.dropped.increment(1);
        }
        self.size += size;
        self.acks.push(ack);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Ack> {
        self.acks.iter()
    }

    pub(crate) fn clear(&mut self) {
        (self.acks, self.size) = (Vec::new(), 0);
    }
}

#[cfg(test)]
mod tests {
    use switchboard_testkit::name;

    use super::*;

    #[test]
    fn acknowledgements_beyond_the_bound_are_dropped() {
        let mut acks = RetainedAcks::new();
        let ack = |count| (name("p"), name("7"), vec![MessageNumber(1); count]);
        acks.add(ack(SIZE_MAX - 3));
        acks.add(ack(2));
        acks.add(ack(1));
        assert_eq!(acks.iter().map(|(_, _, numbers)| numbers.len()).collect::<Vec<_>>(), [SIZE_MAX - 3, 1]);
        acks.clear();
        acks.add(ack(SIZE_MAX - 1));
        assert_eq!(acks.iter().count(), 1);
    }
}
