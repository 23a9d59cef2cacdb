//! Budgets of rate rules: one key for each user, address or project, while its budget is in use.

use std::sync::Arc;

use switchboard_backplane::{BackplaneFuture, RateStore, Spending};

use crate::connection::Batch;
use crate::connection::script::{self, Script, integer};
use crate::error::RequestError;
use crate::names::Names;
use crate::store::RedisStore;

/// Keys per pipeline, so that Redis and other calls are not delayed for long.
const BATCH: usize = 1000;

/// Sums the counts of nodes in Redis, over the store's connection.
pub(crate) struct RedisRateStore {
    names: Names,
    store: Arc<RedisStore>,
    spend: Script,
}

impl RedisRateStore {
    pub(crate) fn new(names: Names, store: Arc<RedisStore>) -> Self {
        RedisRateStore { names, store, spend: Script::new(include_str!("rates/spend.lua")) }
    }

    async fn try_spend(&self, spendings: &[Spending]) -> Result<Vec<u64>, RequestError> {
        let mut connection = self.store.connection()?;
        let mut ends = Vec::with_capacity(spendings.len());
        for part in spendings.chunks(BATCH) {
            let batch = || {
                let mut batch = Batch::default();
                for Spending { key, cost_ns } in part {
                    let name = self.names.rate(key);
                    let cost_us = cost_ns.div_ceil(1000).to_string();
                    batch.push(&name, self.spend.call(std::slice::from_ref(&name), &[cost_us.as_bytes()]));
                }
                batch
            };
            for reply in script::run_batch(&mut connection, &self.spend, batch).await? {
                let reply = reply.extract_error()?;
                let us = integer(&reply).and_then(|us| u64::try_from(us).ok()).unwrap_or_default();
                ends.push(us.saturating_mul(1000));
            }
        }
        Ok(ends)
    }
}

impl RateStore for RedisRateStore {
    fn spend<'a>(&'a self, spendings: &'a [Spending]) -> BackplaneFuture<'a, Vec<u64>> {
        Box::pin(async move { Ok(self.try_spend(spendings).await?) })
    }
}
