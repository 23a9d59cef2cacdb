//! Messages that wait for the next call: a pile for each project, since a call is for one.
//!
//! A message goes at once unless as many calls of its project are under way as may be; then it goes with all
//! that came meanwhile. So a call costs more the more there is to do, and a message less.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use switchboard_event::{Event, ProjectId, UserId};
use switchboard_hub::inbox::Kept;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use crate::store::NoAnswer;

/// Most calls of a project that are under way at the same time: while Redis does one, the next is on its way.
const CALLS_MAX: usize = 2;

/// Most users in one call, so that it is short. Lua cannot hand a few thousand to a command.
pub(super) const CALL_USERS_MAX: usize = 1000;

/// Most messages in one call, and bytes of events; a larger one goes alone.
const CALL_PUTS_MAX: usize = 512;
const CALL_BYTES_MAX: usize = 256 * 1024;

/// How much may wait or be under way in KiB, all projects together: 16 MiB. Who comes on top waits for room.
const ROOM_KIB: u32 = 16 * 1024;

/// What a message takes besides its event and for each user, about.
const PUT_BYTES: usize = 256;
const USER_BYTES: usize = 32;

/// A message for no more than [`CALL_USERS_MAX`] users, each once.
pub(super) struct Put {
    pub(super) users: Vec<UserId>,
    pub(super) event: Event,
    pub(super) answer: oneshot::Sender<Result<Kept, NoAnswer>>,
    _room: OwnedSemaphorePermit,
}

/// What goes in one call.
pub(super) struct Call {
    pub(super) project: ProjectId,
    pub(super) puts: Vec<Put>,
}

pub(super) struct Piles {
    open: Mutex<Open>,
    filled: Notify,
    room: Arc<Semaphore>,
}

/// The piles, while there is a connection.
#[derive(Default)]
struct Open {
    is_open: bool,
    /// Those of which something waits or is under way.
    piles: HashMap<ProjectId, Pile>,
    /// Those of which another call may go.
    ready: VecDeque<ProjectId>,
}

#[derive(Default)]
struct Pile {
    waiting: VecDeque<Put>,
    calls: usize,
    is_ready: bool,
}

impl Default for Piles {
    fn default() -> Self {
        Piles {
            open: Mutex::default(),
            filled: Notify::new(),
            room: Arc::new(Semaphore::new(ROOM_KIB as usize)),
        }
    }
}

impl Piles {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().expect("no code that holds the piles panics")
    }

    /// Adds a message, when there is room, and waits for its answer. Whether it is kept when nobody waits any
    /// more nobody can say.
    pub(super) async fn put(
        &self,
        project: &ProjectId,
        users: Vec<UserId>,
        event: &Event,
    ) -> Result<Kept, NoAnswer> {
        let bytes = PUT_BYTES + USER_BYTES * users.len() + event.data.as_bytes().len();
        let kib = u32::try_from(bytes.div_ceil(1024)).map_or(ROOM_KIB, |kib| kib.min(ROOM_KIB));
        // Without a pause if there is room: what is put first is kept first.
        let room = match self.room.clone().try_acquire_many_owned(kib) {
            Ok(room) => room,
            Err(_) => self.room.clone().acquire_many_owned(kib).await.map_err(|_| NoAnswer::Away)?,
        };
        let (answer, answered) = oneshot::channel();
        let put = Put { users, event: event.clone(), answer, _room: room };
        if self.lock().push(project, put)? {
            self.filled.notify_one();
        }
        answered.await.unwrap_or(Err(NoAnswer::Away))
    }

    /// From here on messages are taken.
    pub(super) fn open(&self) {
        *self.lock() = Open { is_open: true, ..Open::default() };
    }

    /// Takes no more, and whoever waits is told that there is no connection.
    pub(super) fn close(&self) {
        *self.lock() = Open::default();
    }

    /// The next call, if one may go.
    pub(super) fn next_call(&self) -> Option<Call> {
        self.lock().next_call()
    }

    /// To be said when a call is answered.
    pub(super) fn is_done(&self, project: &ProjectId) {
        self.lock().is_done(project);
    }

    /// When there may be a call that may go.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }
}

impl Open {
    /// Whether a call may go that could not before.
    fn push(&mut self, project: &ProjectId, put: Put) -> Result<bool, NoAnswer> {
        if !self.is_open {
            return Err(NoAnswer::Away);
        }
        match self.piles.get_mut(project) {
            Some(pile) => pile.waiting.push_back(put),
            None => {
                let pile = Pile { waiting: VecDeque::from([put]), ..Pile::default() };
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

    fn next_call(&mut self) -> Option<Call> {
        let project = self.ready.pop_front()?;
        let pile = self.piles.get_mut(&project)?;
        pile.is_ready = false;
        pile.calls += 1;
        let puts = pile.take();
        self.note_ready(&project);
        Some(Call { project, puts })
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

impl Pile {
    /// As many as go in one call, in their order.
    fn take(&mut self) -> Vec<Put> {
        let (mut puts, mut users, mut bytes) = (0, 0, 0);
        for put in self.waiting.iter().take(CALL_PUTS_MAX) {
            users += put.users.len();
            bytes += put.event.data.as_bytes().len();
            if puts > 0 && (users > CALL_USERS_MAX || bytes > CALL_BYTES_MAX) {
                break;
            }
            puts += 1;
        }
        self.waiting.drain(..puts).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use switchboard_event::{MessageNumber, Name, Payload};

    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).expect("it is short")
    }

    fn event(bytes: usize) -> Event {
        let data = Payload::parse(&format!("\"{}\"", "x".repeat(bytes))).expect("a text is JSON");
        Event { name: name("n"), data, sender: None, time_ms: 0 }
    }

    fn users(count: usize) -> Vec<UserId> {
        (0..count).map(|user| name(&user.to_string())).collect()
    }

    fn poll<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    /// How many messages are in each of the next calls.
    fn calls(piles: &Piles) -> Vec<usize> {
        std::iter::from_fn(|| piles.next_call()).map(|call| call.puts.len()).collect()
    }

    #[test]
    fn a_message_goes_at_once_and_what_comes_during_two_calls_goes_together() {
        let (piles, event) = (Piles::default(), event(10));
        piles.open();
        let (project, other) = (name("p"), name("q"));
        let mut puts: Vec<_> = (0..12).map(|_| Box::pin(piles.put(&project, users(1), &event))).collect();
        for put in &mut puts[..2] {
            assert!(poll(put.as_mut()).is_pending());
            assert_eq!(calls(&piles), [1]);
        }
        for put in &mut puts[2..] {
            assert!(poll(put.as_mut()).is_pending());
            assert_eq!(calls(&piles), [0; 0]);
        }
        let mut elsewhere = pin!(piles.put(&other, users(1), &event));
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
        let small = event(10);
        let large = event(CALL_BYTES_MAX * 3 / 4);
        let mut puts: Vec<_> = Vec::new();
        for (count, event) in
            [(1, &small), (1, &small), (1, &large), (1, &large), (600, &small), (400, &small), (1, &small)]
        {
            let mut put = Box::pin(piles.put(&project, users(count), event));
            assert!(poll(put.as_mut()).is_pending());
            puts.push(put);
        }
        let mut sizes = Vec::new();
        while let Some(call) = piles.next_call() {
            sizes.push(call.puts.len());
            piles.is_done(&project);
        }
        assert_eq!(sizes, [3, 2, 2], "by bytes and by users");
    }

    #[test]
    fn who_comes_on_top_waits_for_room_and_nobody_waits_without_a_connection() {
        let (piles, project, event) = (Piles::default(), name("p"), event(1024 * 1024));
        assert!(matches!(
            poll(pin!(piles.put(&project, users(1), &event))),
            Poll::Ready(Err(NoAnswer::Away))
        ));
        piles.open();
        let mut puts: Vec<_> = (0..20).map(|_| Box::pin(piles.put(&project, users(1), &event))).collect();
        for put in &mut puts {
            assert!(poll(put.as_mut()).is_pending());
        }
        let call = piles.next_call().expect("something waits");
        let fitted = call.puts.len() + piles.lock().piles[&project].waiting.len();
        assert_eq!(fitted, 15, "as many as there is room for");
        for put in call.puts {
            let _ = put.answer.send(Ok(Kept { number: MessageNumber(1), inboxes: 1, displaced: 0 }));
        }
        assert!(matches!(poll(puts[0].as_mut()), Poll::Ready(Ok(_))));
        assert!(poll(puts[15].as_mut()).is_pending());
        assert_eq!(piles.lock().piles[&project].waiting.len(), 15, "there was room again");
        piles.close();
        for mut put in puts.drain(1..) {
            assert!(matches!(poll(put.as_mut()), Poll::Ready(Err(NoAnswer::Away))));
        }
    }
}
