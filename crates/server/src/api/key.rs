//! Keys of the API: which endpoints they may call, in which projects, and how often.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderMap, header};
use ring::digest::SHA256;
use subtle::ConstantTimeEq;
use switchboard::ProjectId;
use switchboard_backplane::Digest;
use tokio::time::Instant;

use super::idempotency::digest;
use super::problem::Problem;
use crate::config::{Api, ApiScope, digest_of_hash};

/// The accepted keys, which can be replaced.
pub(crate) struct SharedKeys(RwLock<Arc<Keys>>);

impl SharedKeys {
    pub(crate) fn new(settings: &Api) -> Self {
        SharedKeys(RwLock::new(Arc::new(Keys::new(settings))))
    }

    /// Replaces the keys and their rate. Each may send a burst again; those that stay keep the time of their last use.
    pub(crate) fn set(&self, settings: &Api) {
        let keys = Keys::new(settings);
        let old = self.current();
        let used: HashMap<Digest, u64> =
            old.secrets().map(|(digest, key)| (*digest, key.last_used_ms())).collect();
        for (digest, key) in keys.secrets() {
            key.last_used_ms.fetch_max(used.get(digest).copied().unwrap_or(0), Ordering::Relaxed);
        }
        *self.0.write().expect("no code that holds the keys panics") = Arc::new(keys);
    }

    fn current(&self) -> Arc<Keys> {
        self.0.read().expect("no code that holds the keys panics").clone()
    }

    /// Finds the key of a request, and counts the request at its rate.
    pub(super) fn admit(&self, headers: &HeaderMap) -> Result<Arc<Key>, Problem> {
        self.current().admit(headers)
    }

    /// Finds the key with a secret, and counts a request at its rate. Returns also the digest of the secret.
    pub(crate) fn sign_in(&self, secret: &[u8]) -> Result<(Digest, AdmittedKey), Problem> {
        let digest = sha256(secret);
        Ok((digest, self.admit_digest(&digest)?))
    }

    /// Finds the key whose secret has a digest, and counts a request at its rate.
    pub(crate) fn admit_digest(&self, digest: &Digest) -> Result<AdmittedKey, Problem> {
        self.current().admit_digest(digest).map(AdmittedKey)
    }

    /// All keys, in the order of the settings.
    pub(super) fn list(&self) -> Vec<Arc<Key>> {
        self.current().keys.iter().map(|(_, key)| key.clone()).collect()
    }
}

/// The key that a request may use because of the session that it shows, in the extensions of the request.
#[derive(Clone)]
pub(crate) struct AdmittedKey(pub(super) Arc<Key>);

impl AdmittedKey {
    /// The name in the settings.
    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    pub(crate) fn has(&self, scope: ApiScope) -> bool {
        self.0.scopes.contains(&scope)
    }

    pub(crate) fn scopes(&self) -> Vec<&'static str> {
        self.0.scopes.iter().map(|scope| scope.as_str()).collect()
    }

    /// The projects that the key is valid for; `None` for all.
    pub(crate) fn projects(&self) -> Option<Vec<String>> {
        self.0.projects.as_ref().map(|projects| projects.iter().map(ToString::to_string).collect())
    }
}

/// A key of the API. A named key may have several secrets.
pub(super) struct Key {
    /// The name in the settings; for keys of `api.keys` their place there.
    pub(super) name: String,
    pub(super) scopes: Vec<ApiScope>,
    /// The projects that the key is valid for; `None` for all, and the server itself.
    pub(super) projects: Option<Vec<ProjectId>>,
    pub(super) expires_at_ms: Option<u64>,
    last_used_ms: AtomicU64,
    /// Identifies the key in the names of remembered requests. All nodes share these, so it is the same on each.
    pub(super) digest: Digest,
    bucket: Mutex<Bucket>,
}

impl Key {
    /// When a request last used the key on this node, in ms since 1970; 0 if none did.
    pub(super) fn last_used_ms(&self) -> u64 {
        self.last_used_ms.load(Ordering::Relaxed)
    }

    /// Checks that the key has a scope, if one is needed.
    pub(super) fn check_scope(&self, scope: Option<ApiScope>) -> Result<(), Problem> {
        match scope.filter(|scope| !self.scopes.contains(scope)) {
            None => Ok(()),
            Some(scope) => {
                Err(Problem::forbidden(format!("this key does not have the scope {}", scope.as_str())))
            }
        }
    }

    pub(super) fn check_project(&self, project: &ProjectId) -> Result<(), Problem> {
        match self.projects.as_ref().is_none_or(|projects| projects.contains(project)) {
            true => Ok(()),
            false => {
                Err(Problem::forbidden(format!("project: this key is not valid for the project `{project}`")))
            }
        }
    }

    /// Checks that the key is valid for the server itself, and not only for some projects.
    pub(super) fn check_server(&self) -> Result<(), Problem> {
        match self.projects {
            None => Ok(()),
            Some(_) => {
                Err(Problem::forbidden("this key is valid for some projects only, not for the server itself"))
            }
        }
    }
}

/// The accepted keys, each with its own rate limit.
struct Keys {
    /// The digests of the secrets of each key.
    keys: Vec<(Vec<Digest>, Arc<Key>)>,
    /// `None` if the rate is not limited.
    per_second: Option<f64>,
}

/// A token bucket. Each request takes one token.
struct Bucket {
    tokens: f64,
    refilled_at: Instant,
}

impl Keys {
    fn new(settings: &Api) -> Self {
        let per_second = settings.requests_per_second.map(f64::from);
        let bucket =
            || Mutex::new(Bucket { tokens: per_second.unwrap_or_default(), refilled_at: Instant::now() });
        let unnamed = settings.keys.iter().enumerate().map(|(index, secret)| {
            let of_secret = digest_of(secret.reveal());
            let key = Key {
                name: format!("api.keys[{index}]"),
                scopes: ApiScope::ALL.into(),
                projects: None,
                expires_at_ms: None,
                last_used_ms: AtomicU64::new(0),
                digest: of_secret,
                bucket: bucket(),
            };
            (vec![of_secret], Arc::new(key))
        });
        let named = settings.named_keys.iter().map(|(name, named)| {
            let projects = named.projects.as_ref();
            let key = Key {
                name: name.clone(),
                scopes: named.scopes.clone(),
                projects: projects.map(|ids| ids.iter().filter_map(|id| ProjectId::new(id).ok()).collect()),
                expires_at_ms: named.expires_at_ms(),
                last_used_ms: AtomicU64::new(0),
                digest: digest([b"named key", name.as_bytes()]),
                bucket: bucket(),
            };
            (named.keys.iter().map(|secret| digest_of(secret.reveal())).collect(), Arc::new(key))
        });
        Keys { keys: unnamed.chain(named).collect(), per_second }
    }

    fn secrets(&self) -> impl Iterator<Item = (&Digest, &Arc<Key>)> {
        self.keys.iter().flat_map(|(digests, key)| digests.iter().map(move |digest| (digest, key)))
    }

    fn admit(&self, headers: &HeaderMap) -> Result<Arc<Key>, Problem> {
        let presented = headers.get(header::AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
        self.admit_digest(&sha256(presented.ok_or_else(Problem::no_key)?))
    }

    fn admit_digest(&self, presented: &Digest) -> Result<Arc<Key>, Problem> {
        let key = self.find(presented).ok_or_else(Problem::no_key)?;
        let now = now_ms();
        if key.expires_at_ms.is_some_and(|end| end <= now) {
            return Err(Problem::expired());
        }
        let mut bucket = key.bucket.lock().expect("no code that holds a bucket panics");
        if !self.per_second.is_none_or(|per_second| bucket.take(per_second, Instant::now())) {
            return Err(Problem::too_many());
        }
        key.last_used_ms.fetch_max(now, Ordering::Relaxed);
        Ok(key.clone())
    }

    /// Compares digests, each in constant time, and always all of them.
    fn find(&self, presented: &Digest) -> Option<&Arc<Key>> {
        let mut found = None;
        for (digest, key) in self.secrets() {
            if bool::from(digest.ct_eq(presented)) {
                found = Some(key);
            }
        }
        found
    }
}

fn sha256(bytes: &[u8]) -> Digest {
    ring::digest::digest(&SHA256, bytes).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// The digest of a key that the settings contain as it is, or as its hash.
fn digest_of(key: &str) -> Digest {
    digest_of_hash(key).unwrap_or_else(|| sha256(key.as_bytes()))
}

pub(super) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
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
    use crate::config::Config;

    fn headers(key: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, format!("Bearer {key}").parse().unwrap())])
    }

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

    #[tokio::test]
    async fn a_hash_in_the_settings_accepts_the_key_and_not_the_hash() {
        // Of `0123456789abcdef`.
        let hash = "sha256:9f9f5111f7b27a781f1f1ddde5ebc2dd2b796bfc7365c9c28b548e564176929f";
        let keys = SharedKeys::new(&Config::load(None, &[format!("api.keys={hash}")]).unwrap().api);
        assert!(keys.admit(&headers("0123456789abcdef")).is_ok());
        assert!(keys.admit(&headers(hash)).is_err() && keys.admit(&headers("0123456789abcdeF")).is_err());
    }

    #[tokio::test]
    async fn a_key_that_stays_keeps_the_time_of_its_last_use_after_a_reload() {
        let key = |name: &str| format!("api.named_keys.{name}.keys=0123456789abcdef");
        let scopes = |name: &str| format!("api.named_keys.{name}.scopes=[\"read\"]");
        let settings = |name: &str| Config::load(None, &[key(name), scopes(name)]).unwrap().api;
        let keys = SharedKeys::new(&settings("old"));
        assert_eq!(keys.list()[0].last_used_ms(), 0);
        let used = keys.admit(&headers("0123456789abcdef")).map_err(|_| ()).unwrap().last_used_ms();
        keys.set(&settings("new"));
        let [key] = &keys.list()[..] else { panic!("there is one key") };
        assert_eq!((&*key.name, key.last_used_ms()), ("new", used));
        assert!(used > 0);
    }
}
