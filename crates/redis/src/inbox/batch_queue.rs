//! What waits for the next call: a pile for each project, since a call is for one.
//!
//! It goes at once unless as many calls of its project are under way as may be; then it goes with all that
//! came meanwhile. So a call costs more the more there is to do, and each part of it less.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use switchboard_event::ProjectId;
use tokio::sync::{Notify, oneshot};

use crate::store::NoAnswer;

/// Most calls of a project that are under way at the same time: while Redis does one, the next is made.
const CALLS_MAX: usize = 2;

/// Most parts of one call: it is short, and what comes all at once makes more than one, which overlap.
const CALL_PARTS_MAX: usize = 256;

/// Most users in one call, so that it is short. Lua cannot hand a few thousand to a command.
pub(super) const CALL_USERS_MAX: usize = 1000;

/// Most bytes that one call writes, in all inboxes together, or is expected to read: what Redis does in a few ms. A
/// larger part goes alone.
pub(super) const CALL_BYTES_MAX: usize = 1024 * 1024;

/// What can go with others in one call.
pub(super) trait Part {
    /// What becomes of it.
    type Answer;

    /// No more than [`CALL_USERS_MAX`].
    fn users(&self) -> usize;

    /// How much it has a call write or read.
    fn bytes(&self) -> usize;
}

/// What goes in one call.
pub(super) struct Call<P: Part> {
    pub(super) project: ProjectId,
    pub(super) parts: Vec<P>,
    answers: Vec<Answer<P>>,
}

type Answer<P> = oneshot::Sender<Result<<P as Part>::Answer, NoAnswer>>;

pub(super) struct Piles<P: Part> {
    open: Mutex<Open<P>>,
    filled: Notify,
}

/// The piles, while there is a connection.
struct Open<P: Part> {
    is_open: bool,
    /// Those of which something waits or is under way.
    piles: HashMap<ProjectId, Pile<P>>,
    /// Those of which another call may go.
    ready: VecDeque<ProjectId>,
}

struct Pile<P: Part> {
    waiting: VecDeque<(P, Answer<P>)>,
    calls: usize,
    is_ready: bool,
}

impl<P: Part> Default for Piles<P> {
    fn default() -> Self {
        Piles { open: Mutex::default(), filled: Notify::new() }
    }
}

impl<P: Part> Default for Open<P> {
    fn default() -> Self {
        Open { is_open: false, piles: HashMap::new(), ready: VecDeque::new() }
    }
}

impl<P: Part> Call<P> {
    /// Has each who asked know the answer to its part, in their order.
    pub(super) fn tell(self, answers: Result<Vec<P::Answer>, NoAnswer>) {
        // Whoever asked may have gone.
        match answers {
            Ok(answers) => {
                self.answers.into_iter().zip(answers).for_each(|(to, answer)| drop(to.send(Ok(answer))))
            }
            Err(error) => self.answers.into_iter().for_each(|to| drop(to.send(Err(error.clone())))),
        }
    }
}

impl<P: Part> Piles<P> {
    fn lock(&self) -> MutexGuard<'_, Open<P>> {
        self.open.lock().expect("no code that holds the piles panics")
    }

    /// Adds a part, and waits for its answer. Whether it is done when nobody waits any more nobody can say.
    pub(super) async fn ask(&self, project: &ProjectId, part: P) -> Result<P::Answer, NoAnswer> {
        let (answer, answered) = oneshot::channel();
        if self.lock().push(project, part, answer)? {
            self.filled.notify_one();
        }
        answered.await.unwrap_or(Err(NoAnswer::Away))
    }

    /// From here on parts are taken.
    pub(super) fn open(&self) {
        *self.lock() = Open { is_open: true, ..Open::default() };
    }

    /// Makes calls as long as somebody polls. Then no part is taken any more, and whoever waits is told that there
    /// is no connection.
    pub(super) async fn run<F: Future<Output = ()>>(&self, make: impl Fn(Call<P>) -> F) -> Infallible {
        let _closed_after = Running(self);
        let mut calls = FuturesUnordered::new();
        loop {
            while let Some(call) = self.next_call() {
                let project = call.project.clone();
                let made = make(call);
                calls.push(async {
                    made.await;
                    project
                });
            }
            tokio::select! {
                () = self.filled.notified() => {}
                Some(project) = calls.next() => self.is_done(&project),
            }
        }
    }

    fn close(&self) {
        *self.lock() = Open::default();
    }

    /// The next call, if one may go.
    fn next_call(&self) -> Option<Call<P>> {
        self.lock().next_call()
    }

    fn is_done(&self, project: &ProjectId) {
        self.lock().is_done(project);
    }
}

/// No part is taken any more when it is dropped.
struct Running<'a, P: Part>(&'a Piles<P>);

impl<P: Part> Drop for Running<'_, P> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl<P: Part> Open<P> {
    /// Whether a call may go that could not before.
    fn push(&mut self, project: &ProjectId, part: P, answer: Answer<P>) -> Result<bool, NoAnswer> {
        if !self.is_open {
            return Err(NoAnswer::Away);
        }
        match self.piles.get_mut(project) {
            Some(pile) => pile.waiting.push_back((part, answer)),
            None => {
                let pile = Pile { waiting: VecDeque::from([(part, answer)]), calls: 0, is_ready: false };
                self.piles.insert(project.clone(), pile);
            }
        }
        Ok(self.note_ready(project))
    }

    fn note_ready(&mut self, project: &ProjectId) -> bool {
        let Some(pile) = self.piles.get_mut(project) else { return false };
        if pile.is_ready || pile.waiting.is_empty() || pile.calls == CALLS_MAX {
            return false;
        }
        pile.is_ready = true;
        self.ready.push_back(project.clone());
        true
    }

    fn next_call(&mut self) -> Option<Call<P>> {
        let project = self.ready.pop_front()?;
        let pile = self.piles.get_mut(&project)?;
        pile.is_ready = false;
        pile.calls += 1;
        let (parts, answers) = pile.take().unzip();
        self.note_ready(&project);
        Some(Call { project, parts, answers })
    }

    fn is_done(&mut self, project: &ProjectId) {
        let Some(pile) = self.piles.get_mut(project) else { return };
        pile.calls -= 1;
        if pile.calls == 0 && pile.waiting.is_empty() {
            self.piles.remove(project);
        } else {
            self.note_ready(project);
        }
    }
}

impl<P: Part> Pile<P> {
    /// As many as go in one call, in their order.
    fn take(&mut self) -> impl Iterator<Item = (P, Answer<P>)> {
        let (mut parts, mut users, mut bytes) = (0, 0, 0);
        for (part, _) in self.waiting.iter().take(CALL_PARTS_MAX) {
            users += part.users();
            bytes += part.bytes();
            if parts > 0 && (users > CALL_USERS_MAX || bytes > CALL_BYTES_MAX) {
                break;
            }
            parts += 1;
        }
        self.waiting.drain(..parts)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use switchboard_testkit::name;

    use super::*;

    /// Has so many users and bytes; the answer is its size.
    struct Sized(usize, usize);

    impl Part for Sized {
        type Answer = usize;

        fn users(&self) -> usize {
            self.0
        }

        fn bytes(&self) -> usize {
            self.1
        }
    }

    const SMALL: Sized = Sized(1, 10);

    fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    /// How many parts are in each of the next calls.
    fn calls(piles: &Piles<Sized>) -> Vec<usize> {
        std::iter::from_fn(|| piles.next_call()).map(|call| call.parts.len()).collect()
    }

    #[test]
    fn a_part_goes_at_once_and_what_comes_during_two_calls_goes_together() {
        let piles = Piles::default();
        piles.open();
        let (project, other) = (name("p"), name("q"));
        let mut asked: Vec<_> = (0..12).map(|_| Box::pin(piles.ask(&project, SMALL))).collect();
        for asked in &mut asked[..2] {
            assert!(poll(asked.as_mut()).is_pending());
            assert_eq!(calls(&piles), [1]);
        }
        for asked in &mut asked[2..] {
            assert!(poll(asked.as_mut()).is_pending());
            assert_eq!(calls(&piles), [0; 0]);
        }
        let mut elsewhere = pin!(piles.ask(&other, SMALL));
        assert!(poll(elsewhere.as_mut()).is_pending());
        assert_eq!(calls(&piles), [1], "another project has calls of its own");
        piles.is_done(&project);
        assert_eq!(calls(&piles), [10]);
        piles.is_done(&project);
        piles.is_done(&project);
        piles.is_done(&other);
        assert!(piles.lock().piles.is_empty(), "nothing remains");
    }

    #[test]
    fn no_call_has_too_much_in_it() {
        let piles = Piles::default();
        piles.open();
        let project = name("p");
        let large = CALL_BYTES_MAX * 3 / 4;
        let sizes = [(1, 10), (1, 10), (1, large), (1, large), (600, 10), (400, 10), (1, 10)];
        let many = std::iter::repeat_n((1, 10), CALL_PARTS_MAX + 1);
        let mut asked: Vec<_> = Vec::new();
        for (users, bytes) in sizes.into_iter().chain(many) {
            let mut part = Box::pin(piles.ask(&project, Sized(users, bytes)));
            assert!(poll(part.as_mut()).is_pending());
            asked.push(part);
        }
        let mut sizes = Vec::new();
        while let Some(call) = piles.next_call() {
            sizes.push(call.parts.len());
            piles.is_done(&project);
        }
        assert_eq!(sizes, [3, 2, CALL_PARTS_MAX, 3], "by bytes, by users and by their number");
    }

    #[test]
    fn each_has_its_own_answer_and_nobody_waits_without_a_connection() {
        let (piles, project) = (Piles::default(), name("p"));
        assert!(matches!(poll(pin!(piles.ask(&project, SMALL))), Poll::Ready(Err(NoAnswer::Away))));
        piles.open();
        let mut asked: Vec<_> = (0..4).map(|n| Box::pin(piles.ask(&project, Sized(n, n)))).collect();
        for asked in &mut asked[..3] {
            assert!(poll(asked.as_mut()).is_pending());
        }
        let call = piles.next_call().expect("something waits");
        let answers = call.parts.iter().map(|part| part.0).collect();
        call.tell(Ok(answers));
        for (n, asked) in asked[..3].iter_mut().enumerate() {
            assert!(matches!(poll(asked.as_mut()), Poll::Ready(Ok(answer)) if answer == n));
        }
        assert!(poll(asked[3].as_mut()).is_pending());
        piles.close();
        assert!(matches!(poll(asked[3].as_mut()), Poll::Ready(Err(NoAnswer::Away))));
    }
}
