//! The reports waiting for each client, in order. At most one report of a client is in progress, unless the holder of a
//! report asks for the following ones.

use std::collections::{HashMap, VecDeque};

use switchboard_event::SocketId;
use tokio::time::Instant;

use crate::delivery::Delivery;

#[derive(Default)]
pub(crate) struct ClientQueues {
    queues: HashMap<SocketId, ClientQueue>,
    /// Clients with a report that can be handed out, each once.
    ready: VecDeque<SocketId>,
    /// Clients with a returned report, each with the end of its pause.
    paused: VecDeque<(Instant, SocketId)>,
}

#[derive(Default)]
struct ClientQueue {
    /// Reports of the client that are in progress, or whose pause has not ended.
    in_progress: usize,
    waiting: VecDeque<Delivery>,
}

impl ClientQueues {
    /// Appends a report to the queue of its client.
    pub(crate) fn push_back(&mut self, delivery: Delivery) {
        let socket = delivery.report.socket;
        let queue = self.queues.entry(socket).or_default();
        queue.waiting.push_back(delivery);
        if queue.in_progress == 0 && queue.waiting.len() == 1 {
            self.ready.push_back(socket);
        }
    }

    /// Puts a returned report back into its place near the head of the queue; it must be in progress or paused.
    pub(crate) fn put_back(&mut self, delivery: Delivery) {
        let waiting = &mut self.queues.entry(delivery.report.socket).or_default().waiting;
        let place = waiting.iter().position(|later| later.entry > delivery.entry);
        waiting.insert(place.unwrap_or(waiting.len()), delivery);
    }

    /// Takes the next report of a client that has none in progress.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Delivery> {
        while let Some((_, socket)) = self.paused.pop_front_if(|(until, _)| *until <= now) {
            self.release(socket);
        }
        let queue = self.queues.get_mut(&self.ready.pop_front()?)?;
        let delivery = queue.waiting.pop_front()?;
        queue.in_progress += 1;
        Some(delivery)
    }

    /// Takes the next report of a client that has one in progress.
    pub(crate) fn pop_following(&mut self, socket: SocketId) -> Option<Delivery> {
        let queue = self.queues.get_mut(&socket).filter(|queue| queue.in_progress > 0)?;
        let delivery = queue.waiting.pop_front()?;
        queue.in_progress += 1;
        Some(delivery)
    }

    /// Ends the progress of one report. After the last, the client's next report is available.
    pub(crate) fn release(&mut self, socket: SocketId) {
        let Some(queue) = self.queues.get_mut(&socket) else { return };
        queue.in_progress = queue.in_progress.saturating_sub(1);
        if queue.in_progress > 0 {
            return;
        }
        match queue.waiting.is_empty() {
            true => drop(self.queues.remove(&socket)),
            false => self.ready.push_back(socket),
        }
    }

    /// Makes the next report of a client available at `until`. Pauses must be added in the order of their end.
    pub(crate) fn release_at(&mut self, until: Instant, socket: SocketId) {
        self.paused.push_back((until, socket));
    }

    /// The end of the first pause, when [`pop`](Self::pop) may return more.
    pub(crate) fn next_pause_ends(&self) -> Option<Instant> {
        self.paused.front().map(|(until, _)| *until)
    }

    /// How many bytes the data of the waiting reports of a partition have.
    pub(crate) fn waiting_bytes(&self, partition: u16) -> usize {
        let waiting = self.queues.values().flat_map(|queue| &queue.waiting);
        waiting.filter(|delivery| delivery.entry.0 == partition).map(Delivery::data_bytes).sum()
    }

    /// Drops the waiting reports for which `keep` returns false.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Delivery) -> bool) {
        self.queues.retain(|_, queue| {
            queue.waiting.retain(&keep);
            queue.in_progress > 0 || !queue.waiting.is_empty()
        });
        self.ready.retain(|socket| self.queues.contains_key(socket));
    }
}
