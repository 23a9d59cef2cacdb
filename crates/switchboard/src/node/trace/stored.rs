//! The traces of stored messages that were sent and not acknowledged, by their numbers.

use std::collections::{HashMap, VecDeque};

use switchboard_event::{MessageNumber, ProjectId, TraceId};

/// Most messages. At the bound the oldest is forgotten: its acknowledgement is not recorded.
const MESSAGES_MAX: usize = 1000;

type Key = (ProjectId, MessageNumber);

#[derive(Default)]
pub(super) struct StoredTraces {
    traces: HashMap<Key, TraceId>,
    order: VecDeque<Key>,
}

impl StoredTraces {
    pub(super) fn insert(&mut self, project: &ProjectId, number: MessageNumber, trace: TraceId) {
        let key = (project.clone(), number);
        if self.traces.insert(key.clone(), trace).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > MESSAGES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.traces.remove(&oldest);
        }
    }

    /// The trace of a message. It is kept: each socket of the user acknowledges the message.
    pub(super) fn of(&self, project: &ProjectId, number: MessageNumber) -> Option<TraceId> {
        self.traces.get(&(project.clone(), number)).copied()
    }
}
