//! Requests that may come twice, and to any node, in Redis.
//!
//! A request is one key. It holds the digest of what was asked for, and behind it `?` and the number of the
//! claim, or `=` and the answer. Neither what was asked for nor the key it was asked with can be read there.

use std::sync::Arc;

use bytes::Bytes;
use redis::cmd;
use switchboard_backplane::{
    CLAIM_LIFETIME, Claim, ClaimOutcome, IdempotencyStore, RESPONSE_LIFETIME, RequestKey, StoreFuture,
};

use crate::RedisStore;
use crate::connection::script::{self, Script};
use crate::names::Names;
use crate::store::NoAnswer;

const CLAIMED: &[u8] = b"?";
const ANSWERED: &[u8] = b"=";

/// Remembers requests in Redis, by the store's connection.
pub(crate) struct RedisRepeats {
    names: Names,
    store: Arc<RedisStore>,
    end: Script,
}

impl RedisRepeats {
    pub(crate) fn new(names: Names, store: Arc<RedisStore>) -> Self {
        RedisRepeats { names, store, end: Script::of(include_str!("idempotency/end.lua")) }
    }

    async fn try_claim(&self, asked: &RequestKey) -> Result<ClaimOutcome, NoAnswer> {
        let mut link = self.store.link_now()?;
        let claim = Claim { key: *asked, number: rand::random() };
        let mut command = cmd("SET");
        command.arg(self.names.request(&asked.name)).arg(claimed(&claim)).arg("NX").arg("GET");
        command.arg("PX").arg(CLAIM_LIFETIME.as_millis().to_string());
        let known: Option<Vec<u8>> = link.ask(&command).await?;
        Ok(known.map_or(ClaimOutcome::Claimed(claim), |known| read(asked, known.into())))
    }

    async fn end(&self, claim: &Claim, args: &[&[u8]]) -> Result<(), NoAnswer> {
        let mut link = self.store.link_now()?;
        let (keys, claimed) = ([self.names.request(&claim.key.name)], claimed(claim));
        let args = [&[&*claimed], args].concat();
        Ok(script::run(&mut link, &self.end, &keys, &args).await.map(drop)?)
    }
}

impl IdempotencyStore for RedisRepeats {
    fn claim<'a>(&'a self, asked: &'a RequestKey) -> StoreFuture<'a, ClaimOutcome> {
        Box::pin(async move { Ok(self.try_claim(asked).await?) })
    }

    fn complete<'a>(&'a self, claim: &'a Claim, answer: &'a Bytes) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let answered = [&claim.key.content, ANSWERED, answer].concat();
            let answered_for = RESPONSE_LIFETIME.as_millis().to_string();
            Ok(self.end(claim, &[&answered, answered_for.as_bytes()]).await?)
        })
    }

    fn release<'a>(&'a self, claim: &'a Claim) -> StoreFuture<'a, ()> {
        Box::pin(async move { Ok(self.end(claim, &[]).await?) })
    }
}

fn claimed(claim: &Claim) -> Vec<u8> {
    [&claim.key.content, CLAIMED, &claim.number.to_be_bytes()].concat()
}

/// What was there in place of a claim. What nobody here wrote is something else.
fn read(asked: &RequestKey, known: Bytes) -> ClaimOutcome {
    match known.strip_prefix(&asked.content).and_then(|rest| rest.split_at_checked(1)) {
        Some((CLAIMED, _)) => ClaimOutcome::InProgress,
        Some((ANSWERED, answer)) => ClaimOutcome::Completed(known.slice_ref(answer)),
        _ => ClaimOutcome::Conflict,
    }
}
