//! The scripts of the inboxes.

use redis::RedisResult;

use crate::connection::Link;
use crate::connection::script::{self, Script};

/// All scripts of the inboxes.
pub(crate) struct Scripts {
    pub(super) put: Script,
    pub(super) open: Script,
    pub(super) receipts: Script,
    pub(super) drop: Script,
    pub(super) clear: Script,
    pub(super) expire: Script,
    pub(super) turn: Script,
    pub(super) limits: Script,
    /// For a project that is bridged to original Mesa Dispatchers.
    pub(super) adopt: Script,
}

macro_rules! with_inbox {
    ($($file:literal),+) => {
        concat!(include_str!("scripts/inbox.lua"), $(include_str!($file)),+)
    };
}

impl Scripts {
    pub(crate) fn new() -> Self {
        Scripts {
            put: Script::of(with_inbox!("../bus/nodes_of_users.lua", "scripts/put.lua")),
            open: Script::even_if_full(with_inbox!("scripts/open.lua")),
            receipts: Script::even_if_full(with_inbox!("scripts/receipts.lua")),
            drop: Script::even_if_full(with_inbox!("scripts/drop.lua")),
            clear: Script::even_if_full(with_inbox!("scripts/clear.lua")),
            expire: Script::even_if_full(with_inbox!("scripts/expire.lua")),
            turn: Script::even_if_full(include_str!("scripts/turn.lua")),
            limits: Script::even_if_full(include_str!("scripts/limits.lua")),
            adopt: Script::even_if_full(with_inbox!("../legacy/mesa/adopt.lua")),
        }
    }

    /// Has every server know them.
    pub(crate) async fn load(&self, link: &mut Link) -> RedisResult<()> {
        let Scripts { put, open, receipts, drop, clear, expire, turn, limits, adopt } = self;
        script::load(link, &[put, open, receipts, drop, clear, expire, turn, limits, adopt]).await
    }
}
