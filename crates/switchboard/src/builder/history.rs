//! Setters of rooms by patterns of their names: which keep messages, and where; overflow policies.

use std::sync::Arc;

use switchboard_backplane::{History, HistoryLimits, HistoryRule, MemoryHistoryLimits, RoomRule};
use switchboard_event::OverflowPolicy;

use crate::api::app::App;

impl App {
    /// Lets the rooms that match a pattern keep their recent messages. The pattern is the name of a room or, with one
    /// `*` at its end, a prefix; the `#` may be omitted. Of several patterns that match a room the most specific counts: its
    /// name, or the longest prefix. Default: no room keeps messages.
    ///
    /// A room keeps every message that is sent to its members, even if some are excluded, unless the message is
    /// [local](crate::Emitter::local) or has an overflow policy such as [volatile](crate::Emitter::volatile). A message to several targets at once is
    /// not kept. Clients and handlers can read what is kept; see [`room_history`](Self::room_history).
    ///
    /// ```
    /// use switchboard::{App, HistoryLimits};
    ///
    /// let limits = HistoryLimits { messages_max: 100, ..HistoryLimits::default() };
    /// let app = App::new().with_room_history("chat-*", limits);
    /// ```
    ///
    /// # Panics
    /// If the pattern is invalid, a limit is 0, or the app is in use.
    #[track_caller]
    pub fn with_room_history(self, pattern: &str, limits: HistoryLimits) -> Self {
        let rule = match HistoryRule::new(pattern, limits) {
            Ok(rule) => rule,
            Err(error) => panic!("{error}"),
        };
        let HistoryLimits { messages_max, age_max_ms, bytes_max } = limits;
        assert!(
            messages_max > 0 && age_max_ms > 0 && bytes_max > 0,
            "the limits of the history of `{pattern}` keep nothing: each must be at least 1"
        );
        self.change_settings(|settings| settings.history.rules.insert(rule));
        self
    }

    /// Sets the overflow policy of live messages to a room that matches a pattern, whoever sends them. The pattern is that of
    /// [`with_room_history`](Self::with_room_history), and the most specific one counts. Messages with a policy other than
    /// [`OverflowPolicy::Live`] are not kept in a history. Default: `Live`.
    ///
    /// ```
    /// use switchboard::{App, LatestKey, OverflowPolicy};
    ///
    /// let app = App::new().with_overflow_policy("cursors-*", OverflowPolicy::Latest(LatestKey::Event));
    /// ```
    ///
    /// # Panics
    /// If the pattern is invalid, or the app is in use.
    #[track_caller]
    pub fn with_overflow_policy(self, pattern: &str, policy: OverflowPolicy) -> Self {
        let rule = RoomRule::new(pattern, policy).unwrap_or_else(|error| panic!("{error}"));
        self.change_settings(|settings| settings.overflow_rules.insert(rule));
        self
    }

    /// Sets where the messages of rooms are kept. Default: in the memory of this node, if it is the only one.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use switchboard::App;
    /// use switchboard::backplane::History;
    ///
    /// fn app(shared: Arc<dyn History>) -> App {
    ///     App::new().with_history(shared)
    /// }
    /// ```
    pub fn with_history(self, history: Arc<dyn History>) -> Self {
        self.change_settings(|settings| settings.history.log = Some(history));
        self
    }

    /// Sets the bounds on all rooms of a history in memory. Default: [`MemoryHistoryLimits::default`].
    ///
    /// ```
    /// use switchboard::App;
    /// use switchboard::backplane::MemoryHistoryLimits;
    ///
    /// let limits = MemoryHistoryLimits { rooms_max: 1000, ..MemoryHistoryLimits::default() };
    /// let app = App::new().with_memory_history_limits(limits);
    /// ```
    pub fn with_memory_history_limits(self, limits: MemoryHistoryLimits) -> Self {
        self.change_settings(|settings| settings.history.memory_limits = limits);
        self
    }
}
