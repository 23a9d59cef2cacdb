//! Key sets (RFC 7517), fetched on demand and cached. A failed fetch keeps the last good keys.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::{Client, Url};
use switchboard_log::{limited, printable_error};

use crate::error::{JWKS_BYTES_MAX, JwksError, KeyError};
use crate::key::Key;

/// How a key set is fetched, and when again.
#[derive(Debug, Clone)]
pub struct JwksOptions {
    /// How long fetched keys are used without another fetch. Default 10 min.
    pub max_age: Duration,
    /// Shortest time between two fetches, even if tokens name unknown keys. Default 10 s.
    pub min_interval: Duration,
    /// Roots trusted for `https`, in addition to Mozilla's; each is one certificate in DER or any number in PEM.
    /// Default none.
    pub root_certificates: Vec<Vec<u8>>,
}

impl Default for JwksOptions {
    fn default() -> Self {
        JwksOptions {
            max_age: Duration::from_secs(600),
            min_interval: Duration::from_secs(10),
            root_certificates: Vec::new(),
        }
    }
}

/// How long one fetch may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// The cached key set of one URL.
pub(crate) struct Jwks {
    url: Url,
    client: Client,
    options: JwksOptions,
    cache: Mutex<Cache>,
    /// Held during a fetch, so that concurrent verifications share it.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Cache {
    keys: Option<Arc<Vec<Key>>>,
    fetched_at: Option<Instant>,
    /// The last attempt, successful or not.
    tried_at: Option<Instant>,
    error: Option<Arc<JwksError>>,
}

impl Jwks {
    pub(crate) fn new(url: &str, options: JwksOptions) -> Result<Self, KeyError> {
        let invalid = || KeyError::Url(url.into());
        let url = Url::parse(url).map_err(|_| invalid())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(invalid());
        }
        let tls = switchboard_tls::client_config(&options.root_certificates)?;
        let client = Client::builder().timeout(FETCH_TIMEOUT).tls_backend_preconfigured(tls).build();
        let client = client.map_err(|error| KeyError::Client(error.into()))?;
        Ok(Jwks { url, client, options, cache: Mutex::default(), fetching: tokio::sync::Mutex::default() })
    }

    /// The keys, fetched first if they are too old or do not include the key with this id.
    pub(crate) async fn keys_for(&self, id: Option<&str>) -> Result<Arc<Vec<Key>>, Arc<JwksError>> {
        if self.needs_fetch(id) {
            let _guard = self.fetching.lock().await;
            // Another task may have fetched the keys while this one waited for the lock.
            if self.needs_fetch(id) {
                self.fetch().await;
            }
        }
        let cache = self.cache();
        match (&cache.keys, &cache.error) {
            (Some(keys), _) => Ok(keys.clone()),
            (None, Some(error)) => Err(error.clone()),
            (None, None) => Ok(Arc::default()),
        }
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().expect("no code that holds the cache panics")
    }

    fn needs_fetch(&self, id: Option<&str>) -> bool {
        let cache = self.cache();
        let is_within = |since: Option<Instant>, time| since.is_some_and(|since| since.elapsed() < time);
        let includes = |keys: &Arc<Vec<Key>>| id.is_none() || keys.iter().any(|key| key.id.as_deref() == id);
        let is_fresh = is_within(cache.fetched_at, self.options.max_age);
        let suffices = is_fresh && cache.keys.as_ref().is_some_and(includes);
        !suffices && !is_within(cache.tried_at, self.options.min_interval)
    }

    async fn fetch(&self) {
        let fetched = self.request().await;
        let mut cache = self.cache();
        #[expect(clippy::disallowed_methods, reason = "the cache is the only user of this time")]
        let now = Instant::now();
        cache.tried_at = Some(now);
        match fetched {
            Ok(keys) => {
                if cache.error.is_some() {
                    limited!(INFO, url = self.url.as_str(), "key set fetched again");
                }
                (cache.keys, cache.fetched_at, cache.error) = (Some(Arc::new(keys)), Some(now), None);
            }
            Err(error) => {
                // While tokens arrive, a fetch is tried every few seconds, so only the first failure is a warning.
                match cache.error {
                    None => limited!(
                        WARN,
                        url = self.url.as_str(),
                        error = printable_error(&error),
                        "could not fetch the key set; cached keys stay in use"
                    ),
                    Some(_) => limited!(
                        DEBUG,
                        url = self.url.as_str(),
                        error = printable_error(&error),
                        "could not fetch the key set again"
                    ),
                }
                cache.error = Some(Arc::new(error));
            }
        }
    }

    async fn request(&self) -> Result<Vec<Key>, JwksError> {
        let mut response = self.client.get(self.url.clone()).send().await?.error_for_status()?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            body.extend_from_slice(&chunk);
            if body.len() > JWKS_BYTES_MAX {
                return Err(JwksError::TooLong);
            }
        }
        parse(&body).map_err(JwksError::Format)
    }
}

/// Parses a key set. Unsupported keys are skipped, so that one new kind of key does not disable the others.
fn parse(body: &[u8]) -> Result<Vec<Key>, serde_json::Error> {
    #[derive(serde::Deserialize)]
    struct KeySet {
        keys: Vec<serde_json::Value>,
    }
    let set: KeySet = serde_json::from_slice(body)?;
    let keys = set.keys.into_iter().filter_map(|key| Key::from_jwk(&serde_json::from_value(key).ok()?));
    Ok(keys.collect())
}
