//! The reports waiting for each client, in order. At most one report of a client is in progress.

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
    /// A report of the client is in progress, or its pause has not ended.
    busy: bool,
    waiting: VecDeque<Delivery>,
}

impl ClientQueues {
    /// Appends a report to the queue of its client.
    pub(crate) fn push_back(&mut self, delivery: Delivery) {
        let socket = delivery.report.socket;
        let queue = self.queues.entry(socket).or_default();
        queue.waiting.push_back(delivery);
        if !queue.busy && queue.waiting.len() == 1 {
            self.ready.push_back(socket);
        }
    }

    /// Puts a returned report back at the head of the queue; its client must be busy or paused.
    pub(crate) fn push_front(&mut self, delivery: Delivery) {
        self.queues.entry(delivery.report.socket).or_default().waiting.push_front(delivery);
    }

    /// Takes the next report of a client that has none in progress, and marks the client busy.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Delivery> {
        while let Some((_, socket)) = self.paused.pop_front_if(|(until, _)| *until <= now) {
            self.release(socket);
        }
        let queue = self.queues.get_mut(&self.ready.pop_front()?)?;
        let delivery = queue.waiting.pop_front()?;
        queue.busy = true;
        Some(delivery)
    }

    /// Makes the next report of a client available.
    pub(crate) fn release(&mut self, socket: SocketId) {
        let Some(queue) = self.queues.get_mut(&socket) else { return };
        queue.busy = false;
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
            queue.busy || !queue.waiting.is_empty()
        });
        self.ready.retain(|socket| self.queues.contains_key(socket));
    }
}
