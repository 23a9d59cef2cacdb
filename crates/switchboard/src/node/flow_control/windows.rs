//! The windows of all senders of this node, and the nodes that do not answer.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use switchboard_event::{ProjectId, SocketId};
use switchboard_hub::Stage;
use tokio::sync::oneshot;

use crate::node::flow_control::window::{Answer, Window};

/// The divisor of the outbox's bound for the window of all active senders together: four nodes fill half of an outbox, and the
/// other half is left for what was there before.
const WINDOW_PART: usize = 8;

/// The smallest window of a sender.
const WINDOW_BYTES_MIN: usize = 16 * 1024;

/// A sender that has sent nothing for this long, and has less than the smallest window under way, is forgotten.
const IDLE: Duration = Duration::from_secs(10);

/// Nodes that did not answer are waited for again after this time, or once they answer.
const SILENT: Duration = Duration::from_secs(60);

/// The state of flow control towards other nodes.
#[derive(Default)]
pub(crate) struct Windows(Mutex<State>);

#[derive(Default)]
struct State {
    windows: HashMap<SocketId, Window>,
    /// Windows with a mark under way.
    marks: usize,
    /// The number of the last mark.
    last: u64,
    /// How many nodes did not answer, and since when.
    silent: HashMap<ProjectId, (usize, Instant)>,
}

/// What the sender's node does after a send.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Next {
    /// It publishes a mark with this number.
    pub(crate) mark: Option<u64>,
    /// It stops reading the sender.
    pub(crate) is_full: bool,
}

/// Whether a sender may send, or has to wait first.
#[derive(Debug)]
pub(crate) enum Wait {
    /// It goes on.
    Open,
    /// Its node publishes a mark with this number, and looks again.
    Mark(u64),
    /// It waits, and looks again.
    Full(oneshot::Receiver<()>),
}

impl State {
    /// The window of each sender, if the outbox of a receiver has this bound.
    fn bytes_max(&self, outbox_bytes_max: usize) -> usize {
        (outbox_bytes_max / WINDOW_PART / self.marks.max(1)).max(WINDOW_BYTES_MIN)
    }

    /// The window of a sender that sends something.
    fn window(&mut self, sender: SocketId, now: Instant) -> &mut Window {
        let window = self.windows.entry(sender).or_insert_with(|| Window::new(now));
        window.used = now;
        window
    }

    fn completed(&mut self, is_complete: bool) {
        if is_complete {
            self.marks -= 1;
        }
    }

    fn next(&mut self, sender: SocketId, outbox_bytes_max: usize, now: Instant) -> Next {
        let bytes_max = self.bytes_max(outbox_bytes_max);
        let Some(window) = self.windows.get_mut(&sender) else { return Next::default() };
        let begins = window.begin_mark(bytes_max / 2, self.last + 1, now);
        if begins {
            self.last += 1;
            self.marks += 1;
        }
        Next { mark: begins.then_some(self.last), is_full: window.bytes() >= bytes_max }
    }
}

impl Windows {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no code that holds the windows panics")
    }

    /// Counts bytes of a sender.
    pub(crate) fn passed(
        &self,
        sender: SocketId,
        bytes: usize,
        stage: Stage,
        outbox_bytes_max: usize,
        now: Instant,
    ) -> Next {
        let mut state = self.lock();
        match stage {
            Stage::Published => state.window(sender, now).publish(bytes),
            Stage::Queued => state.window(sender, now).queue(bytes),
            // Its connection may have ended meanwhile.
            Stage::Recorded => {
                if let Some(window) = state.windows.get_mut(&sender) {
                    window.recorded(bytes);
                }
            }
        }
        state.next(sender, outbox_bytes_max, now)
    }

    /// Sets how many other nodes have received a mark; `None` if that is unknown, so that nobody waits for them.
    pub(crate) fn counted(&self, project: &ProjectId, sender: SocketId, number: u64, nodes: Option<usize>) {
        let mut state = self.lock();
        let silent = state.silent.get(project).map_or(0, |(silent, _)| *silent);
        let expected = nodes.unwrap_or_default().saturating_sub(silent);
        let is_complete =
            state.windows.get_mut(&sender).is_some_and(|window| window.expect(number, expected));
        state.completed(is_complete);
    }

    /// Counts the answer of a node.
    pub(crate) fn answered(&self, project: &ProjectId, sender: SocketId, number: u64) {
        let mut state = self.lock();
        match state.windows.get_mut(&sender).map(|window| window.answer(number)) {
            Some(Answer::Complete) => state.completed(true),
            Some(Answer::Late) => {
                if let Some((silent, _)) = state.silent.get_mut(project) {
                    *silent = silent.saturating_sub(1);
                }
            }
            Some(Answer::Waits) | None => {}
        }
    }

    /// What a sender does next.
    pub(crate) fn wait(&self, sender: SocketId, outbox_bytes_max: usize, now: Instant) -> Wait {
        let mut state = self.lock();
        match state.next(sender, outbox_bytes_max, now) {
            Next { mark: Some(number), .. } => Wait::Mark(number),
            Next { mark: None, is_full: false } => Wait::Open,
            Next { mark: None, is_full: true } => {
                state.windows.get_mut(&sender).map_or(Wait::Open, |window| Wait::Full(window.wait()))
            }
        }
    }

    /// Stops waiting for nodes that have not answered since `before`. Returns how many there are.
    pub(crate) fn give_up(
        &self,
        project: &ProjectId,
        sender: SocketId,
        before: Instant,
        now: Instant,
    ) -> usize {
        let mut state = self.lock();
        let Some(window) = state.windows.get_mut(&sender) else { return 0 };
        let had_mark = window.has_mark();
        let Some(missing) = window.give_up(before) else { return 0 };
        state.completed(had_mark);
        if missing > 0 {
            let (silent, since) = state.silent.entry(project.clone()).or_insert((0, now));
            (*silent, *since) = (*silent + missing, now);
        }
        missing
    }

    /// Forgets a sender whose connection has ended.
    pub(crate) fn forget(&self, sender: SocketId) {
        let mut state = self.lock();
        let had_mark = state.windows.remove(&sender).is_some_and(|window| window.has_mark());
        state.completed(had_mark);
    }

    /// Forgets senders that have sent little for a while, and silent nodes.
    pub(crate) fn sweep(&self, now: Instant) {
        let mut state = self.lock();
        let mut given_up = 0;
        state.windows.retain(|_, window| {
            let is_open = !window.has_mark() && window.bytes() < WINDOW_BYTES_MIN;
            let is_used = now - window.used < if is_open { IDLE } else { SILENT };
            given_up += usize::from(!is_used && window.has_mark());
            is_used
        });
        state.marks -= given_up;
        state.silent.retain(|_, (silent, since)| *silent > 0 && now - *since < SILENT);
        if state.windows.is_empty() {
            state.windows = HashMap::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::clock::now;

    const OUTBOX: usize = 1024 * 1024;
    const WINDOW: usize = OUTBOX / WINDOW_PART;

    fn project() -> ProjectId {
        ProjectId::new("p").unwrap()
    }

    #[test]
    fn a_sender_publishes_a_mark_at_half_of_its_window_and_stops_at_the_whole() {
        let (windows, sender) = (Windows::default(), SocketId::random());
        let send = |bytes| windows.passed(sender, bytes, Stage::Published, OUTBOX, now());
        assert_eq!(send(WINDOW / 2 - 1), Next::default());
        assert_eq!(send(1), Next { mark: Some(1), is_full: false });
        assert_eq!(send(WINDOW / 2), Next { mark: None, is_full: true });
        windows.answered(&project(), sender, 1);
        windows.counted(&project(), sender, 1, Some(1));
        assert!(matches!(windows.wait(sender, OUTBOX, now()), Wait::Mark(2)));
        windows.counted(&project(), sender, 2, None);
        assert!(matches!(windows.wait(sender, OUTBOX, now()), Wait::Open));
        assert_eq!(windows.lock().marks, 0);
    }

    #[test]
    fn senders_share_the_window() {
        let windows = Windows::default();
        let senders: Vec<SocketId> = (0..4).map(|_| SocketId::random()).collect();
        for sender in &senders {
            assert!(windows.passed(*sender, WINDOW, Stage::Published, OUTBOX, now()).is_full);
        }
        assert_eq!(windows.lock().bytes_max(OUTBOX), WINDOW / 4);
        senders.iter().for_each(|sender| windows.forget(*sender));
        assert_eq!(windows.lock().bytes_max(OUTBOX), WINDOW);
    }

    #[test]
    fn a_node_that_does_not_answer_is_waited_for_again_once_it_does() {
        let (windows, sender, project) = (Windows::default(), SocketId::random(), project());
        let send = || windows.passed(sender, WINDOW, Stage::Published, OUTBOX, now()).mark.unwrap();
        let first = send();
        windows.counted(&project, sender, first, Some(2));
        windows.answered(&project, sender, first);
        assert_eq!(windows.give_up(&project, sender, now(), now()), 1);
        let second = send();
        windows.counted(&project, sender, second, Some(2));
        windows.answered(&project, sender, second);
        assert!(
            matches!(windows.wait(sender, OUTBOX, now()), Wait::Open),
            "the silent node is not waited for"
        );
        windows.answered(&project, sender, first);
        let third = send();
        windows.counted(&project, sender, third, Some(2));
        windows.answered(&project, sender, third);
        assert!(matches!(windows.wait(sender, OUTBOX, now()), Wait::Full(_)), "it is waited for again");
    }

    #[test]
    fn idle_senders_and_silent_nodes_are_forgotten() {
        let (windows, sender, start) = (Windows::default(), SocketId::random(), now());
        windows.passed(sender, WINDOW, Stage::Published, OUTBOX, start);
        windows.counted(&project(), sender, 1, Some(1));
        windows.passed(SocketId::random(), 1000, Stage::Published, OUTBOX, start);
        windows.sweep(start + IDLE);
        assert_eq!(windows.lock().windows.len(), 1, "one sender waits for an answer");
        windows.sweep(start + SILENT);
        assert!(windows.lock().windows.is_empty() && windows.lock().marks == 0);
        windows.passed(sender, WINDOW, Stage::Published, OUTBOX, start);
        windows.counted(&project(), sender, 2, Some(1));
        windows.give_up(&project(), sender, start, start);
        windows.sweep(start + SILENT / 2);
        assert_eq!(windows.lock().silent.len(), 1);
        windows.sweep(start + SILENT);
        assert!(windows.lock().silent.is_empty());
    }
}
