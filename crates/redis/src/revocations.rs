//! The revocation store: revoked tokens, which every node reads at its start and after an outage.
//!
//! One hash holds all revocations, and a sorted set their ends. Both expire with the last of them. Storing one removes
//! up to 1,000 others of expired tokens.

use std::sync::Arc;

use redis::cmd;
use switchboard_backplane::{BackplaneFuture, Revocation, RevocationStore};

use crate::connection::script::{self, Script};
use crate::error::RequestError;
use crate::names::Names;
use crate::store::RedisStore;

/// Revocations per command, so that Redis is not blocked for long.
const BATCH: usize = 1000;

/// An entry of the hash: key and value.
type Entry = (Vec<u8>, Vec<u8>);

/// Remembers revocations in Redis, over the store's connection.
pub(crate) struct RedisRevocationStore {
    names: Names,
    store: Arc<RedisStore>,
    put: Script,
}

impl RedisRevocationStore {
    pub(crate) fn new(names: Names, store: Arc<RedisStore>) -> Self {
        RedisRevocationStore { names, store, put: Script::allow_oom(include_str!("revocations/put.lua")) }
    }

    async fn try_save(&self, revocations: &[Revocation]) -> Result<(), RequestError> {
        let mut connection = self.store.connection()?;
        let keys = self.names.revocations();
        for batch in revocations.chunks(BATCH) {
            let texts: Vec<[String; 3]> = batch
                .iter()
                .map(|one| [one.key(), one.issued_before_ms().to_string(), one.until_ms.to_string()])
                .collect();
            let args: Vec<&[u8]> = texts.iter().flatten().map(String::as_bytes).collect();
            script::run(&mut connection, &self.put, &self.put.call(&keys, &args)).await?.extract_error()?;
        }
        Ok(())
    }

    async fn try_load(&self) -> Result<Vec<Revocation>, RequestError> {
        let mut connection = self.store.connection()?;
        let [key, _] = self.names.revocations();
        let (mut list, mut cursor) = (Vec::new(), 0_u64);
        loop {
            let mut command = cmd("HSCAN");
            command.arg(&key).arg(cursor).arg("COUNT").arg(BATCH);
            let (next, page): (u64, Vec<Entry>) = connection.query(&command).await?;
            list.extend(page.iter().filter_map(|(key, value)| read(key, value)));
            if next == 0 {
                return Ok(list);
            }
            cursor = next;
        }
    }
}

impl RevocationStore for RedisRevocationStore {
    fn location(&self) -> &'static str {
        "redis"
    }

    fn save<'a>(&'a self, revocations: &'a [Revocation]) -> BackplaneFuture<'a, ()> {
        Box::pin(async move { Ok(self.try_save(revocations).await?) })
    }

    fn load(&self) -> BackplaneFuture<'_, Vec<Revocation>> {
        Box::pin(async move { Ok(self.try_load().await?) })
    }
}

/// Reads an entry of the hash. `None` if a program other than a node has written it.
fn read(key: &[u8], value: &[u8]) -> Option<Revocation> {
    let (before, until) = std::str::from_utf8(value).ok()?.split_once(' ')?;
    Revocation::read(std::str::from_utf8(key).ok()?, before.parse().ok()?, until.parse().ok()?)
}
