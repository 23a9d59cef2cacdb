//! The settings of history: which rooms have one, and where it is kept.

use std::sync::Arc;

use switchboard_backplane::{History, HistoryRules, MemoryHistory, MemoryHistoryLimits};
use switchboard_hub::RoomHistory;
use switchboard_log::limited;

use crate::node::clock::now_ms;

/// The settings of history.
#[derive(Clone, Default)]
pub(crate) struct HistorySettings {
    pub(crate) rules: HistoryRules,
    /// Where messages are kept. `None` means in the memory of this node, if it is the only one.
    pub(crate) log: Option<Arc<dyn History>>,
    pub(crate) memory_limits: MemoryHistoryLimits,
}

impl HistorySettings {
    /// The history of the hub; `None` if no room has one.
    pub(crate) fn into_room_history(self, is_single_node: bool) -> Option<RoomHistory> {
        let HistorySettings { rules, log, memory_limits } = self;
        if rules.is_empty() {
            return None;
        }
        let in_memory = || Arc::new(MemoryHistory::new(memory_limits, now_ms)) as Arc<dyn History>;
        let log = log.or_else(|| is_single_node.then(in_memory));
        if log.is_none() {
            limited!(
                WARN,
                "the backplane keeps no history; rooms have none, although rules for them are set"
            );
        }
        Some(RoomHistory { log: log?, rules })
    }
}
