//! How long sessions outlive their connections, and how many.

use std::time::Duration;

/// The longest time for which a session is kept.
const KEEP_MAX: Duration = Duration::from_secs(600);

/// How sessions outlive their connections; see [`App::with_resume`](crate::App::with_resume).
///
/// ```
/// # use std::time::Duration;
/// # use switchboard::Resuming;
/// let resuming = Resuming::default().with_keep(Duration::from_secs(120));
/// assert_eq!(resuming.sessions_max, 10_000);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Resuming {
    /// How long a session is kept after its connection has broken; at most 10 minutes. Zero keeps none. Default 60 s.
    pub keep: Duration,
    /// Detached sessions of a node. At the bound a session ends with its connection. Default 10,000.
    pub sessions_max: usize,
    /// Bytes of replies that are kept for all detached sessions of a node; at most 65,536 for each. At the bound a reply
    /// is dropped. Default 16 MiB.
    pub reply_bytes_max: usize,
}

impl Default for Resuming {
    fn default() -> Self {
        Resuming { keep: Duration::from_secs(60), sessions_max: 10_000, reply_bytes_max: 16 * 1024 * 1024 }
    }
}

impl Resuming {
    /// Sets how long sessions are kept; more than 10 minutes count as 10 minutes.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use switchboard::Resuming;
    /// let resuming = Resuming::default().with_keep(Duration::from_secs(120));
    /// ```
    pub fn with_keep(mut self, keep: Duration) -> Self {
        self.keep = keep.min(KEEP_MAX);
        self
    }

    /// Sets the largest number of detached sessions.
    ///
    /// ```
    /// # use switchboard::Resuming;
    /// let resuming = Resuming::default().with_sessions_max(100_000);
    /// ```
    pub fn with_sessions_max(mut self, sessions_max: usize) -> Self {
        self.sessions_max = sessions_max;
        self
    }

    /// Sets the bound on the bytes of kept replies.
    ///
    /// ```
    /// # use switchboard::Resuming;
    /// let resuming = Resuming::default().with_reply_bytes_max(1024 * 1024);
    /// ```
    pub fn with_reply_bytes_max(mut self, reply_bytes_max: usize) -> Self {
        self.reply_bytes_max = reply_bytes_max;
        self
    }
}
