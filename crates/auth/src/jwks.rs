//! Keys that an address lists: fetched by one at a time, kept, and never lost to a failure.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use reqwest::{Client, Url};

use crate::jwt::{Key, KeyError};

/// When keys are fetched again.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How long keys are taken for fresh. Default 10 min.
    pub fresh: Duration,
    /// Tries to fetch are at least this far apart, whatever tokens ask for. Default 10 s.
    pub pause: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Pace { fresh: Duration::from_secs(600), pause: Duration::from_secs(10) }
    }
}

/// How long one try may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// More than any set of keys needs.
const BYTES_MAX: usize = 1024 * 1024;

/// Why keys could not be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JwksError {
    /// No answer, or not a good one.
    #[error("the address does not answer well")]
    Fetch(#[from] reqwest::Error),
    /// The answer is longer than any set of keys.
    #[error("the answer is over {BYTES_MAX} bytes")]
    TooLong,
    /// The answer is no set of keys.
    #[error("the answer is no set of keys")]
    NoSet(#[source] serde_json::Error),
}

/// The keys of one address.
pub(crate) struct Jwks {
    address: Url,
    client: Client,
    pace: Pace,
    state: Mutex<State>,
    /// Held by the one who fetches.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    keys: Option<Arc<Vec<Key>>>,
    fetched: Option<Instant>,
    tried: Option<Instant>,
    error: Option<Arc<JwksError>>,
}

impl Jwks {
    /// A shared secret has no place in a public list, so no others are taken out of it.
    pub(crate) const ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

    pub(crate) fn new(address: &str, pace: Pace) -> Result<Self, KeyError> {
        let bad = || KeyError::Address(address.into());
        let address = Url::parse(address).map_err(|_| bad())?;
        if !matches!(address.scheme(), "http" | "https") {
            return Err(bad());
        }
        let client =
            Client::builder().timeout(TIMEOUT).build().map_err(|error| KeyError::Client(error.into()))?;
        Ok(Jwks { address, client, pace, state: Mutex::default(), fetching: tokio::sync::Mutex::default() })
    }

    /// The keys, fetched anew if they are old or the one asked for is not among them.
    pub(crate) async fn keys_for(&self, id: Option<&str>) -> Result<Arc<Vec<Key>>, Arc<JwksError>> {
        if self.may_fetch(id) {
            let _turn = self.fetching.lock().await;
            // Whoever waited finds what the other has brought.
            if self.may_fetch(id) {
                self.fetch().await;
            }
        }
        let state = self.state();
        match (&state.keys, &state.error) {
            (Some(keys), _) => Ok(keys.clone()),
            (None, Some(error)) => Err(error.clone()),
            (None, None) => Ok(Arc::default()),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no code that holds the keys panics")
    }

    fn may_fetch(&self, id: Option<&str>) -> bool {
        let state = self.state();
        let is_within = |since: Option<Instant>, time| since.is_some_and(|since| since.elapsed() < time);
        let has = |keys: &Arc<Vec<Key>>| id.is_none() || keys.iter().any(|key| key.id.as_deref() == id);
        let suffices = is_within(state.fetched, self.pace.fresh) && state.keys.as_ref().is_some_and(has);
        !suffices && !is_within(state.tried, self.pace.pause)
    }

    async fn fetch(&self) {
        let fetched = self.ask().await;
        let mut state = self.state();
        #[expect(clippy::disallowed_methods, reason = "when keys were fetched is a fact of this crate alone")]
        let now = Instant::now();
        state.tried = Some(now);
        match fetched {
            Ok(keys) => {
                (state.keys, state.fetched, state.error) = (Some(Arc::new(keys)), Some(now), None);
            }
            Err(error) => {
                tracing::warn!(address = %self.address, error = &error as &dyn std::error::Error, "keys could not be fetched");
                state.error = Some(Arc::new(error));
            }
        }
    }

    async fn ask(&self) -> Result<Vec<Key>, JwksError> {
        let mut answer = self.client.get(self.address.clone()).send().await?.error_for_status()?;
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await? {
            body.extend_from_slice(&part);
            if body.len() > BYTES_MAX {
                return Err(JwksError::TooLong);
            }
        }
        read(&body).map_err(JwksError::NoSet)
    }
}

/// Reads a set. A key that cannot be used here is passed over, or one new key would cost them all.
fn read(body: &[u8]) -> Result<Vec<Key>, serde_json::Error> {
    #[derive(serde::Deserialize)]
    struct Set {
        keys: Vec<serde_json::Value>,
    }
    let set: Set = serde_json::from_slice(body)?;
    let keys = set.keys.into_iter().filter_map(|key| usable(&serde_json::from_value(key).ok()?));
    Ok(keys.collect())
}

/// The key and the algorithm it is for, if that is one of ours.
fn usable(jwk: &Jwk) -> Option<Key> {
    if jwk.common.public_key_use.as_ref().is_some_and(|is| *is != PublicKeyUse::Signature) {
        return None;
    }
    let (algorithm, name) = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        _ => return None,
    };
    if jwk.common.key_algorithm.is_some_and(|said| said != name) {
        return None;
    }
    let key = DecodingKey::from_jwk(jwk).ok()?;
    Some(Key { algorithm, id: jwk.common.key_id.clone(), key })
}
