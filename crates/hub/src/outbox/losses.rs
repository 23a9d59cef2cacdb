//! Lost messages of which the receiver of an outbox was not notified yet, and rooms in which it lags. Beside them, the queued frames
//! that may be dropped.

use std::sync::atomic::{AtomicU64, Ordering};

use switchboard_event::RoomName;

use super::droppable::Droppable;
use super::message::{Lag, Loss, Message};

/// Most rooms of which the losses of one receiver are counted apart; further ones are counted together.
pub(super) const LOSS_ROOMS_MAX: usize = 16;

/// The droppable frames of an outbox, its losses and its lags.
pub(super) struct Overflow {
    /// Distinguishes the states of one outbox over several connections.
    pub(super) number: u64,
    pub(super) droppable: Droppable,
    pub(super) losses: Vec<Loss>,
    pub(super) lags: Vec<Lag>,
    /// The owner of the hub was notified of a loss and has not finished.
    pub(super) is_attended: bool,
}

impl Default for Overflow {
    fn default() -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        Overflow {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            droppable: Droppable::default(),
            losses: Vec::new(),
            lags: Vec::new(),
            is_attended: false,
        }
    }
}

impl Overflow {
    /// Returns true if it can be dropped.
    pub(super) fn is_idle(&self) -> bool {
        self.droppable.is_empty() && !self.is_attended
    }

    pub(super) fn add_loss(&mut self, room: Option<RoomName>) {
        let is_known = self.losses.iter().any(|loss| loss.room == room);
        let room = room.filter(|_| is_known || self.losses.len() < LOSS_ROOMS_MAX);
        match self.losses.iter_mut().find(|loss| loss.room == room) {
            Some(loss) => loss.messages += 1,
            None => self.losses.push(Loss { room, messages: 1 }),
        }
    }

    pub(super) fn lag(&mut self, room: &RoomName) -> Option<&mut Lag> {
        self.lags.iter_mut().find(|lag| lag.room == *room)
    }

    /// Records that a message is not queued because the receiver lags in its room. Returns false if it does not lag there.
    pub(super) fn skips(&mut self, message: &Message<'_>) -> bool {
        let (Some(room), Some(position)) = (message.room, message.position) else { return false };
        self.lag(room).is_some_and(|lag| {
            lag.skipped = position;
            true
        })
    }
}
