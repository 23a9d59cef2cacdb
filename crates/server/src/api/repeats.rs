//! Requests that may come twice: the same `Idempotency-Key` gives the same answer.
//!
//! The last [`REMEMBERED`] that were done are remembered for [`FOR`]. What was not done is not: it may be
//! tried again.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use super::keys::Key;
use super::problem::Problem;

/// Most requests that are remembered.
const REMEMBERED: usize = 10_000;

/// How long they are.
const FOR: Duration = Duration::from_secs(600);

/// Longest `Idempotency-Key`, in bytes.
pub(super) const KEY_BYTES_MAX: usize = 256;

/// A request by what its sender calls it.
pub(super) type Called = (Key, String);

#[derive(Default)]
pub(super) struct Repeats {
    requests: Mutex<Requests>,
    hasher: RandomState,
}

#[derive(Default)]
struct Requests {
    known: HashMap<Called, Request>,
    /// Those that are done, in that order.
    done: VecDeque<(Instant, Called)>,
}

struct Request {
    body: u64,
    answer: Option<String>,
}

/// What a request is.
pub(super) enum Begun<'a> {
    /// To be done.
    First(First<'a>),
    /// Done before, with this answer.
    Again(String),
}

/// A request that is done for the first time. Dropped unanswered, it is forgotten.
pub(super) struct First<'a> {
    repeats: &'a Repeats,
    called: Option<Called>,
}

impl Repeats {
    fn lock(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().expect("no code that holds the requests panics")
    }

    /// Begins a request, or answers as it was answered.
    pub(super) fn begin(&self, called: Called, body: &[u8]) -> Result<Begun<'_>, Problem> {
        let body = self.hasher.hash_one(body);
        let mut requests = self.lock();
        requests.forget_old(Instant::now());
        match requests.known.get(&called) {
            Some(known) if known.body != body => Err(Problem::another_body()),
            Some(Request { answer: Some(answer), .. }) => Ok(Begun::Again(answer.clone())),
            Some(_) => Err(Problem::under_way()),
            None => {
                requests.known.insert(called.clone(), Request { body, answer: None });
                Ok(Begun::First(First { repeats: self, called: Some(called) }))
            }
        }
    }
}

impl Requests {
    fn forget_old(&mut self, now: Instant) {
        let over = self.done.len().saturating_sub(REMEMBERED - 1);
        for _ in 0..over {
            self.forget_first();
        }
        while self.done.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) >= FOR) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, called)) = self.done.pop_front() {
            self.known.remove(&called);
        }
    }
}

impl First<'_> {
    /// Remembers what it was answered.
    pub(super) fn answer(mut self, answer: &str) {
        let Some(called) = self.called.take() else { return };
        let mut requests = self.repeats.lock();
        if let Some(request) = requests.known.get_mut(&called) {
            request.answer = Some(answer.into());
            requests.done.push_back((Instant::now(), called));
        }
    }
}

impl Drop for First<'_> {
    fn drop(&mut self) {
        if let Some(called) = self.called.take() {
            self.repeats.lock().known.remove(&called);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::super::keys::Keys;
    use super::*;
    use crate::config::Config;

    fn key() -> Key {
        let config = Config::load(None, &["api.keys=0123456789abcdef".to_owned()]).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("authorization", "Bearer 0123456789abcdef".parse().unwrap());
        Keys::new(&config.api).admit(&headers).unwrap()
    }

    fn first(begun: Result<Begun<'_>, Problem>) -> First<'_> {
        match begun.unwrap() {
            Begun::First(first) => first,
            Begun::Again(_) => panic!("it is remembered"),
        }
    }

    fn again(begun: Result<Begun<'_>, Problem>) -> String {
        match begun.unwrap() {
            Begun::First(_) => panic!("it is not remembered"),
            Begun::Again(answer) => answer,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_done_is_remembered_for_a_while_and_what_is_not_is_free_again() {
        let (repeats, key) = (Repeats::default(), key());
        let begin = |name: &str, body: &[u8]| repeats.begin((key, name.into()), body);
        let under_way = first(begin("a", b"1"));
        assert!(begin("a", b"1").is_err(), "it is under way");
        drop(under_way);
        first(begin("a", b"1")).answer("done");
        assert_eq!(again(begin("a", b"1")), "done");
        assert!(begin("a", b"2").is_err(), "another body");
        tokio::time::advance(FOR).await;
        first(begin("a", b"2"));
    }

    #[tokio::test]
    async fn the_oldest_are_forgotten_when_there_are_many() {
        let (repeats, key) = (Repeats::default(), key());
        for n in 0..REMEMBERED + 10 {
            first(repeats.begin((key, n.to_string()), b"1")).answer("done");
        }
        assert_eq!(repeats.lock().known.len(), REMEMBERED);
        first(repeats.begin((key, "0".into()), b"1"));
        again(repeats.begin((key, (REMEMBERED + 9).to_string()), b"1"));
    }
}
