//! The window of one sender: how many bytes it may have under way to other nodes.
//!
//! Bytes are confirmed by *marks*. A mark is a control message that follows the bytes on their way; every node answers it once
//! its receivers have caught up. One mark at a time is under way, so a sender in a steady flow has half of its window under
//! way while it fills the other half, and does not wait.

use std::time::Instant;

use tokio::sync::oneshot;

/// Bytes of a sender that other nodes have not confirmed.
pub(crate) struct Window {
    /// Bytes that wait for their numbers in the history of a room.
    queued: usize,
    /// Bytes that were published since the last mark.
    published: usize,
    mark: Option<Mark>,
    /// The number of the last mark; 0 if there was none.
    last: u64,
    /// When the sender last sent something.
    pub(super) used: Instant,
    /// The connection of the sender, while it waits.
    waiting: Option<oneshot::Sender<()>>,
}

/// A mark that is under way.
struct Mark {
    number: u64,
    /// Bytes that it confirms.
    bytes: usize,
    since: Instant,
    answers: usize,
    /// How many nodes are to answer; `None` until the bus has counted them.
    expected: Option<usize>,
}

/// What an answer to a mark means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Further nodes are to answer.
    Waits,
    /// All nodes have answered.
    Complete,
    /// Nobody waits for it any more: the node is late.
    Late,
}

impl Window {
    pub(super) fn new(now: Instant) -> Self {
        Window { queued: 0, published: 0, mark: None, last: 0, used: now, waiting: None }
    }

    /// Bytes that are not confirmed.
    pub(super) fn bytes(&self) -> usize {
        self.queued + self.published + self.mark.as_ref().map_or(0, |mark| mark.bytes)
    }

    pub(super) fn has_mark(&self) -> bool {
        self.mark.is_some()
    }

    /// Completes when something is confirmed, or the window is forgotten.
    pub(super) fn wait(&mut self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.waiting = Some(sender);
        receiver
    }

    pub(super) fn publish(&mut self, bytes: usize) {
        self.published += bytes;
    }

    pub(super) fn queue(&mut self, bytes: usize) {
        self.queued += bytes;
    }

    /// Counts bytes that a history has published.
    pub(super) fn recorded(&mut self, bytes: usize) {
        self.queued = self.queued.saturating_sub(bytes);
        self.published += bytes;
    }

    /// Begins a mark if at least `bytes` were published since the last one and none is under way. Returns true if so.
    pub(super) fn begin_mark(&mut self, bytes: usize, number: u64, now: Instant) -> bool {
        if self.mark.is_some() || self.published < bytes {
            return false;
        }
        let bytes = std::mem::take(&mut self.published);
        self.mark = Some(Mark { number, bytes, since: now, answers: 0, expected: None });
        self.last = number;
        true
    }

    /// Sets how many nodes are to answer a mark. Returns true if all have.
    pub(super) fn expect(&mut self, number: u64, nodes: usize) -> bool {
        let Some(mark) = self.mark.as_mut().filter(|mark| mark.number == number) else { return false };
        mark.expected = Some(nodes);
        self.complete()
    }

    pub(super) fn answer(&mut self, number: u64) -> Answer {
        match &mut self.mark {
            Some(mark) if mark.number == number => {
                mark.answers += 1;
                if self.complete() { Answer::Complete } else { Answer::Waits }
            }
            _ if number <= self.last => Answer::Late,
            _ => Answer::Waits,
        }
    }

    /// Ends the mark if all nodes have answered.
    fn complete(&mut self) -> bool {
        let is_complete = |mark: &mut Mark| mark.expected.is_some_and(|expected| mark.answers >= expected);
        let is_complete = self.mark.take_if(is_complete).is_some();
        if is_complete {
            // Wakes the connection of the sender, which looks at the window again.
            self.waiting = None;
        }
        is_complete
    }

    /// Counts everything as confirmed if the mark has waited since `before` or longer. Returns how many nodes have not answered it;
    /// `None` if it has not waited that long.
    pub(super) fn give_up(&mut self, before: Instant) -> Option<usize> {
        if self.mark.as_ref().map_or(self.used, |mark| mark.since) > before {
            return None;
        }
        (self.queued, self.published) = (0, 0);
        let mark = self.mark.take();
        Some(mark.map_or(0, |mark| mark.expected.unwrap_or_default().saturating_sub(mark.answers)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::node::clock::now;

    #[test]
    fn bytes_are_confirmed_when_all_nodes_have_answered_their_mark() {
        let mut window = Window::new(now());
        window.publish(60);
        assert!(!window.begin_mark(64, 1, now()), "too little");
        window.publish(60);
        assert!(window.begin_mark(64, 2, now()));
        window.publish(70);
        assert!(!window.begin_mark(64, 3, now()), "one is under way");
        assert_eq!(window.answer(2), Answer::Waits, "the bus has not counted the nodes");
        assert!(!window.expect(2, 2));
        assert_eq!(window.bytes(), 190);
        assert_eq!(window.answer(2), Answer::Complete);
        assert_eq!(window.bytes(), 70);
        assert_eq!(window.answer(2), Answer::Late);
        assert_eq!(window.answer(9), Answer::Waits, "a mark of another node's making is nobody's answer");
        assert!(window.begin_mark(64, 3, now()) && window.expect(3, 0), "there is no other node");
        assert_eq!(window.bytes(), 0);
    }

    #[test]
    fn bytes_for_a_history_are_confirmed_by_a_mark_after_it_has_published_them() {
        let mut window = Window::new(now());
        window.queue(100);
        assert!(!window.begin_mark(64, 1, now()));
        window.recorded(100);
        assert_eq!(window.bytes(), 100);
        assert!(window.begin_mark(64, 1, now()) && window.expect(1, 0));
        assert_eq!(window.bytes(), 0);
        window.recorded(100);
        assert_eq!(window.bytes(), 100, "what was given up may be published late");
    }

    #[test]
    fn a_mark_without_answers_is_given_up_after_its_time() {
        let start = now();
        let mut window = Window::new(start);
        window.publish(100);
        window.begin_mark(64, 1, start + Duration::from_secs(1));
        window.publish(10);
        window.expect(1, 3);
        window.answer(1);
        assert_eq!(window.give_up(start), None);
        assert_eq!(window.give_up(start + Duration::from_secs(1)), Some(2));
        assert_eq!((window.bytes(), window.answer(1)), (0, Answer::Late));
    }
}
