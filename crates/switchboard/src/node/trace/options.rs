//! Options of traces.

use std::time::Duration;

/// Bounds of the traces on a node, and the share of messages that are traced by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tracing {
    /// Traced messages that the node remembers; 0 records none. At the bound the oldest is forgotten. Default 1,000.
    pub messages_max: usize,
    /// Bytes of their steps, approximately. At the bound the oldest messages are forgotten. Default 4 MiB.
    pub bytes_max: usize,
    /// How long a message is remembered. Default 10 minutes.
    pub keep: Duration,
    /// One message in so many is traced without a request; 0 traces none. Default 0.
    pub one_in: u32,
}

impl Default for Tracing {
    fn default() -> Self {
        let keep = Duration::from_secs(600);
        Tracing { messages_max: 1000, bytes_max: 4 * 1024 * 1024, keep, one_in: 0 }
    }
}

impl Tracing {
    /// Sets [`messages_max`](Self::messages_max).
    pub fn with_messages_max(self, messages_max: usize) -> Self {
        Tracing { messages_max, ..self }
    }

    /// Sets [`bytes_max`](Self::bytes_max).
    pub fn with_bytes_max(self, bytes_max: usize) -> Self {
        Tracing { bytes_max, ..self }
    }

    /// Sets [`keep`](Self::keep).
    pub fn with_keep(self, keep: Duration) -> Self {
        Tracing { keep, ..self }
    }

    /// Sets [`one_in`](Self::one_in).
    pub fn with_one_in(self, one_in: u32) -> Self {
        Tracing { one_in, ..self }
    }

    /// Returns true if a message is recorded that is traced.
    pub(crate) fn is_on(self) -> bool {
        self.messages_max > 0 && self.bytes_max > 0 && !self.keep.is_zero()
    }
}
