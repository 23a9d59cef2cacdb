//! The scripts of the inboxes.

use redis::RedisResult;

use crate::link::Link;
use crate::script::{self, Script};

/// All scripts of the inboxes.
pub(crate) struct Scripts {
    pub(super) put: Script,
    pub(super) open: Script,
    pub(super) receipts: Script,
    pub(super) drop: Script,
    pub(super) clear: Script,
    pub(super) expire: Script,
    /// For a project that is bridged to original Mesa Dispatchers.
    pub(super) adopt: Script,
}

macro_rules! with_inbox {
    ($($file:literal),+) => {
        Script::of(concat!(include_str!("scripts/inbox.lua"), $(include_str!($file)),+))
    };
}

impl Scripts {
    pub(crate) fn new() -> Self {
        Scripts {
            put: with_inbox!("../nodes.lua", "scripts/put.lua"),
            open: with_inbox!("scripts/open.lua"),
            receipts: with_inbox!("scripts/receipts.lua"),
            drop: with_inbox!("scripts/drop.lua"),
            clear: with_inbox!("scripts/clear.lua"),
            expire: with_inbox!("scripts/expire.lua"),
            adopt: with_inbox!("../bridge/mesa/adopt.lua"),
        }
    }

    /// Has every server know them.
    pub(crate) async fn load(&self, link: &mut Link) -> RedisResult<()> {
        let all = [&self.put, &self.open, &self.receipts, &self.drop, &self.clear, &self.expire, &self.adopt];
        script::load(link, &all).await
    }
}
