//! Keys of the API: authentication and rate limits.

use std::sync::{Arc, Mutex, RwLock};

use http::{HeaderMap, header};
use subtle::ConstantTimeEq;
use switchboard_backplane::Digest;
use tokio::time::Instant;

use super::idempotency::digest;
use super::problem::Problem;
use crate::config::{Api, Secret};

/// The digest of the API key of a request, the same on all nodes.
#[derive(Clone, Copy)]
pub(super) struct KeyDigest(pub(super) Digest);

/// The accepted keys, which can be replaced.
pub(crate) struct SharedKeys(RwLock<Arc<Keys>>);

impl SharedKeys {
    pub(crate) fn new(settings: &Api) -> Self {
        SharedKeys(RwLock::new(Arc::new(Keys::new(settings))))
    }

    /// Replaces the keys and their rate. Each may send a burst again.
    pub(crate) fn set(&self, settings: &Api) {
        *self.0.write().expect("no code that holds the keys panics") = Arc::new(Keys::new(settings));
    }

    pub(super) fn admit(&self, headers: &HeaderMap) -> Result<KeyDigest, Problem> {
        let keys = self.0.read().expect("no code that holds the keys panics").clone();
        keys.admit(headers)
    }
}

/// The accepted keys, each with its own rate limit.
struct Keys {
    accepted: Vec<AcceptedKey>,
    /// `None` if the rate is not limited.
    per_second: Option<f64>,
}

struct AcceptedKey {
    secret: Secret,
    key: KeyDigest,
    bucket: Mutex<Bucket>,
}

/// A token bucket. Each request takes one token.
struct Bucket {
    tokens: f64,
    refilled_at: Instant,
}

impl Keys {
    fn new(settings: &Api) -> Self {
        let per_second = settings.requests_per_second.map(f64::from);
        let accepted = settings.keys.iter().map(|secret| AcceptedKey {
            secret: secret.clone(),
            key: KeyDigest(digest([secret.reveal().as_bytes()])),
            bucket: Mutex::new(Bucket {
                tokens: per_second.unwrap_or_default(),
                refilled_at: Instant::now(),
            }),
        });
        Keys { accepted: accepted.collect(), per_second }
    }

    fn admit(&self, headers: &HeaderMap) -> Result<KeyDigest, Problem> {
        let presented = headers.get(header::AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
        let key = self.find(presented.ok_or_else(Problem::no_key)?).ok_or_else(Problem::no_key)?;
        let mut bucket = key.bucket.lock().expect("no code that holds a bucket panics");
        match self.per_second.is_none_or(|per_second| bucket.take(per_second, Instant::now())) {
            true => Ok(key.key),
            false => Err(Problem::too_many()),
        }
    }

    /// Compares in constant time for keys of one length.
    fn find(&self, presented: &[u8]) -> Option<&AcceptedKey> {
        let mut found = None;
        for key in &self.accepted {
            if bool::from(key.secret.reveal().as_bytes().ct_eq(presented)) {
                found = Some(key);
            }
        }
        found
    }
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, key) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(key.trim_ascii())
}

impl Bucket {
    fn take(&mut self, per_second: f64, now: Instant) -> bool {
        let more = now.saturating_duration_since(self.refilled_at).as_secs_f64() * per_second;
        (self.tokens, self.refilled_at) = ((self.tokens + more).min(per_second), now);
        let is_allowed = self.tokens >= 1.0;
        if is_allowed {
            self.tokens -= 1.0;
        }
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_burst_is_as_large_as_the_rate_of_one_second() {
        let begin = Instant::now();
        let mut bucket = Bucket { tokens: 3.0, refilled_at: begin };
        let mut taken = |ms: u64| bucket.take(3.0, begin + Duration::from_millis(ms));
        assert_eq!([0, 0, 0, 0].map(&mut taken), [true, true, true, false]);
        assert_eq!([300, 340, 350].map(&mut taken), [false, true, false]);
        assert_eq!([9000, 9000, 9000, 9000].map(&mut taken), [true, true, true, false]);
    }

    #[test]
    fn a_key_is_read_after_the_bearer_scheme() {
        assert_eq!(bearer(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer(b"bearer  abc "), Some(&b"abc"[..]));
        for other in [&b""[..], b"Bearer", b"Basic abc", b"abc"] {
            assert_eq!(bearer(other), None);
        }
    }
}
