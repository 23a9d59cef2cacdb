//! Requests gathered into calls, by project: a call is for one project.
//!
//! A request is sent at once while its project has fewer than [`CALLS_MAX`] calls in flight. Otherwise it
//! is sent together with all requests that arrive until one of the calls is done. Under load a call carries more requests,
//! and each costs less.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use switchboard_event::ProjectId;
use tokio::sync::{Notify, oneshot};

use crate::error::RequestError;

/// Maximum number of calls of a project in flight: while Redis runs one, the next is on the network.
const CALLS_MAX: usize = 2;

/// Maximum number of requests in one call. A burst becomes several calls, which overlap.
const CALL_ITEMS_MAX: usize = 256;

/// Maximum number of users in one call. Lua cannot pass more than a few thousand arguments to a command.
pub(super) const CALL_USERS_MAX: usize = 1000;

/// Maximum number of bytes that one call writes to all inboxes together, or is expected to read: a few ms of
/// Redis' time. A larger request has a call of its own.
pub(super) const CALL_BYTES_MAX: usize = 1024 * 1024;

/// A request that can share a call with others.
pub(super) trait BatchItem {
    type Reply;

    /// Number of users, at most [`CALL_USERS_MAX`].
    fn users(&self) -> usize;

    /// Bytes that it writes or is expected to read.
    fn bytes(&self) -> usize;
}

/// The requests of one call.
pub(super) struct BatchCall<I: BatchItem> {
    pub(super) project: ProjectId,
    pub(super) items: Vec<I>,
    requesters: Vec<Requester<I>>,
}

type Requester<I> = oneshot::Sender<Result<<I as BatchItem>::Reply, RequestError>>;

pub(super) struct BatchQueue<I: BatchItem> {
    queues: Mutex<Queues<I>>,
    filled: Notify,
}

/// The queues of all projects.
struct Queues<I: BatchItem> {
    /// Whether there is a connection; without one no request is accepted.
    is_open: bool,
    /// Projects with queued requests or calls in flight.
    projects: HashMap<ProjectId, ProjectQueue<I>>,
    /// Projects whose next call can be sent.
    ready: VecDeque<ProjectId>,
}

struct ProjectQueue<I: BatchItem> {
    queued: VecDeque<(I, Requester<I>)>,
    /// Calls in flight.
    calls: usize,
    is_ready: bool,
}

impl<I: BatchItem> Default for BatchQueue<I> {
    fn default() -> Self {
        BatchQueue { queues: Mutex::default(), filled: Notify::new() }
    }
}

impl<I: BatchItem> Default for Queues<I> {
    fn default() -> Self {
        Queues { is_open: false, projects: HashMap::new(), ready: VecDeque::new() }
    }
}

impl<I: BatchItem> BatchCall<I> {
    /// Sends each requester its reply; the replies are in the order of the items.
    pub(super) fn finish(self, replies: Result<Vec<I::Reply>, RequestError>) {
        // A requester may have given up.
        match replies {
            Ok(replies) => {
                self.requesters.into_iter().zip(replies).for_each(|(to, reply)| drop(to.send(Ok(reply))))
            }
            Err(error) => self.requesters.into_iter().for_each(|to| drop(to.send(Err(error.clone())))),
        }
    }
}

impl<I: BatchItem> BatchQueue<I> {
    fn lock(&self) -> MutexGuard<'_, Queues<I>> {
        self.queues.lock().expect("no code that holds the queues panics")
    }

    /// Queues a request and waits for its reply. If the caller gives up, the request may still be carried out.
    pub(super) async fn request(&self, project: &ProjectId, item: I) -> Result<I::Reply, RequestError> {
        let (requester, reply) = oneshot::channel();
        if self.lock().push(project, item, requester)? {
            self.filled.notify_one();
        }
        reply.await.unwrap_or(Err(RequestError::Disconnected))
    }

    /// Accepts requests from now on.
    pub(super) fn open(&self) {
        *self.lock() = Queues { is_open: true, ..Queues::default() };
    }

    /// Sends calls with `make`. When it is dropped, queued and new requests fail with
    /// [`RequestError::Disconnected`].
    pub(super) async fn run<F: Future<Output = ()>>(&self, make: impl Fn(BatchCall<I>) -> F) -> Infallible {
        let _close_on_drop = CloseOnDrop(self);
        let mut calls = FuturesUnordered::new();
        loop {
            while let Some(call) = self.next_call() {
                let project = call.project.clone();
                let call = make(call);
                calls.push(async {
                    call.await;
                    project
                });
            }
            tokio::select! {
                () = self.filled.notified() => {}
                Some(project) = calls.next() => self.call_done(&project),
            }
        }
    }

    fn close(&self) {
        *self.lock() = Queues::default();
    }

    fn next_call(&self) -> Option<BatchCall<I>> {
        self.lock().next_call()
    }

    fn call_done(&self, project: &ProjectId) {
        self.lock().call_done(project);
    }
}

struct CloseOnDrop<'a, I: BatchItem>(&'a BatchQueue<I>);

impl<I: BatchItem> Drop for CloseOnDrop<'_, I> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl<I: BatchItem> Queues<I> {
    /// Returns whether a call has become ready.
    fn push(&mut self, project: &ProjectId, item: I, requester: Requester<I>) -> Result<bool, RequestError> {
        if !self.is_open {
            return Err(RequestError::Disconnected);
        }
        match self.projects.get_mut(project) {
            Some(queue) => queue.queued.push_back((item, requester)),
            None => {
                let queued = VecDeque::from([(item, requester)]);
                self.projects.insert(project.clone(), ProjectQueue { queued, calls: 0, is_ready: false });
            }
        }
        Ok(self.check_ready(project))
    }

    fn check_ready(&mut self, project: &ProjectId) -> bool {
        let Some(queue) = self.projects.get_mut(project) else { return false };
        if queue.is_ready || queue.queued.is_empty() || queue.calls == CALLS_MAX {
            return false;
        }
        queue.is_ready = true;
        self.ready.push_back(project.clone());
        true
    }

    fn next_call(&mut self) -> Option<BatchCall<I>> {
        let project = self.ready.pop_front()?;
        let queue = self.projects.get_mut(&project)?;
        queue.is_ready = false;
        queue.calls += 1;
        let (items, requesters) = queue.take().unzip();
        self.check_ready(&project);
        Some(BatchCall { project, items, requesters })
    }

    fn call_done(&mut self, project: &ProjectId) {
        let Some(queue) = self.projects.get_mut(project) else { return };
        queue.calls -= 1;
        if queue.calls == 0 && queue.queued.is_empty() {
            self.projects.remove(project);
        } else {
            self.check_ready(project);
        }
    }
}

impl<I: BatchItem> ProjectQueue<I> {
    /// Takes as many requests as fit into one call, in their order.
    fn take(&mut self) -> impl Iterator<Item = (I, Requester<I>)> {
        let (mut items, mut users, mut bytes) = (0, 0, 0);
        for (item, _) in self.queued.iter().take(CALL_ITEMS_MAX) {
            users += item.users();
            bytes += item.bytes();
            if items > 0 && (users > CALL_USERS_MAX || bytes > CALL_BYTES_MAX) {
                break;
            }
            items += 1;
        }
        self.queued.drain(..items)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use switchboard_testkit::name;

    use super::*;

    /// A request with this many users and bytes. The reply is the number of users.
    struct Request(usize, usize);

    impl BatchItem for Request {
        type Reply = usize;

        fn users(&self) -> usize {
            self.0
        }

        fn bytes(&self) -> usize {
            self.1
        }
    }

    const SMALL: Request = Request(1, 10);

    fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    /// The number of requests in each of the next calls.
    fn calls(queue: &BatchQueue<Request>) -> Vec<usize> {
        std::iter::from_fn(|| queue.next_call()).map(|call| call.items.len()).collect()
    }

    #[test]
    fn a_request_is_sent_at_once_and_those_queued_during_two_calls_share_the_next() {
        let queue = BatchQueue::default();
        queue.open();
        let (project, other) = (name("p"), name("q"));
        let mut requests: Vec<_> = (0..12).map(|_| Box::pin(queue.request(&project, SMALL))).collect();
        for request in &mut requests[..2] {
            assert!(poll(request.as_mut()).is_pending());
            assert_eq!(calls(&queue), [1]);
        }
        for request in &mut requests[2..] {
            assert!(poll(request.as_mut()).is_pending());
            assert_eq!(calls(&queue), [0; 0]);
        }
        let mut elsewhere = pin!(queue.request(&other, SMALL));
        assert!(poll(elsewhere.as_mut()).is_pending());
        assert_eq!(calls(&queue), [1], "another project has calls of its own");
        queue.call_done(&project);
        assert_eq!(calls(&queue), [10]);
        queue.call_done(&project);
        queue.call_done(&project);
        queue.call_done(&other);
        assert!(queue.lock().projects.is_empty(), "nothing remains");
    }

    #[test]
    fn a_call_is_bounded_in_bytes_users_and_requests() {
        let queue = BatchQueue::default();
        queue.open();
        let project = name("p");
        let large = CALL_BYTES_MAX * 3 / 4;
        let sizes = [(1, 10), (1, 10), (1, large), (1, large), (600, 10), (400, 10), (1, 10)];
        let many = std::iter::repeat_n((1, 10), CALL_ITEMS_MAX + 1);
        let mut requests: Vec<_> = Vec::new();
        for (users, bytes) in sizes.into_iter().chain(many) {
            let mut request = Box::pin(queue.request(&project, Request(users, bytes)));
            assert!(poll(request.as_mut()).is_pending());
            requests.push(request);
        }
        let mut sizes = Vec::new();
        while let Some(call) = queue.next_call() {
            sizes.push(call.items.len());
            queue.call_done(&project);
        }
        assert_eq!(sizes, [3, 2, CALL_ITEMS_MAX, 3], "by bytes, by users and by their number");
    }

    #[test]
    fn each_request_has_its_own_reply_and_fails_without_a_connection() {
        let (queue, project) = (BatchQueue::default(), name("p"));
        assert!(matches!(
            poll(pin!(queue.request(&project, SMALL))),
            Poll::Ready(Err(RequestError::Disconnected))
        ));
        queue.open();
        let mut requests: Vec<_> = (0..4).map(|n| Box::pin(queue.request(&project, Request(n, n)))).collect();
        for request in &mut requests[..3] {
            assert!(poll(request.as_mut()).is_pending());
        }
        let call = queue.next_call().expect("requests are queued");
        let replies = call.items.iter().map(|request| request.0).collect();
        call.finish(Ok(replies));
        for (n, request) in requests[..3].iter_mut().enumerate() {
            assert!(matches!(poll(request.as_mut()), Poll::Ready(Ok(reply)) if reply == n));
        }
        assert!(poll(requests[3].as_mut()).is_pending());
        queue.close();
        assert!(matches!(poll(requests[3].as_mut()), Poll::Ready(Err(RequestError::Disconnected))));
    }
}
