//! Events that wait because the maximum number of handlers is in flight.

use std::collections::VecDeque;

use crate::routing::request::Request;

/// The deferred events of one connection. One pointer, empty unless events are deferred.
#[derive(Default)]
pub(super) struct DeferredEvents(Option<Box<Queue>>);

#[derive(Default)]
struct Queue {
    requests: VecDeque<Request>,
    bytes: usize,
}

impl DeferredEvents {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The size of all events.
    pub(super) fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |queue| queue.bytes)
    }

    pub(super) fn push(&mut self, request: Request) {
        let queue = self.0.get_or_insert_default();
        queue.bytes += bytes_of(&request);
        queue.requests.push_back(request);
    }

    /// Removes the oldest event. Frees the memory of the queue with the last one.
    pub(super) fn pop(&mut self) -> Option<Request> {
        let queue = self.0.as_mut()?;
        let request = queue.requests.pop_front()?;
        queue.bytes -= bytes_of(&request);
        if queue.requests.is_empty() {
            self.0 = None;
        }
        Some(request)
    }
}

/// Size of an event: its data, and an estimate of its overhead.
fn bytes_of(request: &Request) -> usize {
    request.payload().as_bytes().len() + 256
}
