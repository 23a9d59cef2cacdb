//! The scripts of the inboxes, and the arguments that all of them share.

use redis::Cmd;

use crate::connection::script::{Script, ScriptSet};
use crate::names::ProjectNames;
use crate::whole_ms::MS_MAX;

/// All scripts of the inboxes. Those that free memory run even when Redis is out of memory.
pub(crate) struct InboxScripts {
    pub(super) put: Script,
    pub(super) open: Script,
    pub(super) receipts: Script,
    pub(super) drop: Script,
    pub(super) clear: Script,
    pub(super) expire: Script,
    pub(super) expiry_lock: Script,
    pub(super) limits: Script,
}

macro_rules! with_inbox {
    ($($file:literal),+) => {
        concat!(include_str!("scripts/inbox.lua"), $(include_str!($file)),+)
    };
}

impl InboxScripts {
    pub(crate) fn new() -> Self {
        InboxScripts {
            put: Script::new(with_inbox!("../bus/nodes_of_users.lua", "scripts/put.lua")),
            open: Script::allow_oom(with_inbox!("scripts/open.lua")),
            receipts: Script::allow_oom(with_inbox!("scripts/receipts.lua")),
            drop: Script::allow_oom(with_inbox!("scripts/drop.lua")),
            clear: Script::allow_oom(with_inbox!("scripts/clear.lua")),
            expire: Script::allow_oom(with_inbox!("scripts/expire.lua")),
            expiry_lock: Script::allow_oom(include_str!("scripts/expiry_lock.lua")),
            limits: Script::allow_oom(include_str!("scripts/limits.lua")),
        }
    }
}

impl ScriptSet for InboxScripts {
    fn scripts(&self) -> Vec<&Script> {
        let InboxScripts { put, open, receipts, drop, clear, expire, expiry_lock, limits } = self;
        vec![put, open, receipts, drop, clear, expire, expiry_lock, limits]
    }
}

/// A call of a script that begins with `inbox.lua`.
pub(crate) fn inbox_call(script: &Script, names: &ProjectNames, more_keys: &[String], args: &[&[u8]]) -> Cmd {
    let keys = [&names.inbox()[..], more_keys].concat();
    script.call(&keys, &[&[names.base().as_bytes()], args].concat())
}

/// How long the last message number is kept, in ms. Bounded by the largest number that Redis can add to its clock.
pub(crate) fn retention_ms(age_max_ms: u64) -> u64 {
    age_max_ms.clamp(1, MS_MAX)
}
