//! The idempotency store: requests that may arrive twice, and at any node.
//!
//! A request is one key. Its value is the digest of the request's content, followed by `?` and the number of the
//! claim, or by `=` and the response. Neither the content nor the request key can be read from it.

use std::sync::Arc;

use bytes::Bytes;
use redis::cmd;
use switchboard_backplane::{
    BackplaneFuture, CLAIM_LIFETIME, Claim, ClaimOutcome, IdempotencyStore, RESPONSE_LIFETIME, RequestKey,
};

use crate::connection::script::{self, Script};
use crate::error::RequestError;
use crate::names::Names;
use crate::store::RedisStore;
use crate::whole_ms::whole_ms;

const CLAIMED: &[u8] = b"?";
const COMPLETED: &[u8] = b"=";

/// Remembers requests in Redis, over the store's connection.
pub(crate) struct RedisIdempotencyStore {
    names: Names,
    store: Arc<RedisStore>,
    end: Script,
}

impl RedisIdempotencyStore {
    pub(crate) fn new(names: Names, store: Arc<RedisStore>) -> Self {
        RedisIdempotencyStore { names, store, end: Script::new(include_str!("idempotency/end.lua")) }
    }

    async fn try_claim(&self, key: &RequestKey) -> Result<ClaimOutcome, RequestError> {
        let mut connection = self.store.connection()?;
        let claim = Claim { key: *key, number: rand::random() };
        let mut command = cmd("SET");
        command.arg(self.names.request(&key.name)).arg(claimed(&claim)).arg("NX").arg("GET");
        command.arg("PX").arg(whole_ms(CLAIM_LIFETIME));
        let known: Option<Vec<u8>> = connection.query(&command).await?;
        Ok(known.map_or(ClaimOutcome::Claimed(claim), |known| outcome_of(key, known.into())))
    }

    async fn end_claim(&self, claim: &Claim, args: &[&[u8]]) -> Result<(), RequestError> {
        let mut connection = self.store.connection()?;
        let (keys, claimed) = ([self.names.request(&claim.key.name)], claimed(claim));
        let args = [&[&*claimed], args].concat();
        Ok(script::run(&mut connection, &self.end, &self.end.call(&keys, &args)).await.map(drop)?)
    }
}

impl IdempotencyStore for RedisIdempotencyStore {
    fn claim<'a>(&'a self, key: &'a RequestKey) -> BackplaneFuture<'a, ClaimOutcome> {
        Box::pin(async move { Ok(self.try_claim(key).await?) })
    }

    fn complete<'a>(&'a self, claim: &'a Claim, response: &'a Bytes) -> BackplaneFuture<'a, ()> {
        Box::pin(async move {
            let completed = [&claim.key.content, COMPLETED, response].concat();
            let lifetime = whole_ms(RESPONSE_LIFETIME).to_string();
            Ok(self.end_claim(claim, &[&completed, lifetime.as_bytes()]).await?)
        })
    }

    fn release<'a>(&'a self, claim: &'a Claim) -> BackplaneFuture<'a, ()> {
        Box::pin(async move { Ok(self.end_claim(claim, &[]).await?) })
    }
}

fn claimed(claim: &Claim) -> Vec<u8> {
    [&claim.key.content, CLAIMED, &claim.number.to_be_bytes()].concat()
}

/// Interprets the value that prevented a claim. An unknown value counts as another request.
fn outcome_of(key: &RequestKey, known: Bytes) -> ClaimOutcome {
    match known.strip_prefix(&key.content).and_then(|rest| rest.split_at_checked(1)) {
        Some((CLAIMED, _)) => ClaimOutcome::InProgress,
        Some((COMPLETED, response)) => ClaimOutcome::Completed(known.slice_ref(response)),
        _ => ClaimOutcome::Conflict,
    }
}
