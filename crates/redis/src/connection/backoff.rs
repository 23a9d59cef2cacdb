//! How long to wait before the next try: random, so that nodes do not return as a herd.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
/// Short, because everything has to be back within 5 s of the return of Redis.
const MOST: Duration = Duration::from_millis(1500);

#[derive(Default)]
pub(crate) struct Backoff {
    tries: u32,
}

impl Backoff {
    pub(crate) async fn pause(&mut self) {
        let most = FIRST.saturating_mul(1 << self.tries.min(8)).min(MOST);
        self.tries += 1;
        tokio::time::sleep(most.mul_f64(rand::random::<f64>())).await;
    }
}
