//! Metrics of an app, through the `metrics` facade. A recorder must be installed before the app starts.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

/// Handles of the metrics. They are looked up once, so that counting is one atomic addition.
pub(crate) struct Meters {
    pub(crate) connections: Gauge,
    pub(crate) accepted: Counter,
    pub(crate) messages_in: Counter,
    pub(crate) bytes_in: Counter,
    pub(crate) bytes_out: Counter,
    pub(crate) http_refused: Counter,
    pub(crate) unknown_events: Counter,
    pub(crate) panics: Counter,
    pub(crate) lists: Counter,
    /// Messages for users that could not be stored.
    pub(crate) inbox_failed: Counter,
    pub(crate) tokens_accepted: Counter,
    pub(crate) tokens_delayed: Counter,
    handler_seconds: Histogram,
    /// Closed connections by code, from 1000. Registered at the first close with a code, so only these are shown.
    closed: [OnceLock<Counter>; 16],
}

impl Meters {
    pub(crate) fn new() -> Self {
        Meters {
            connections: gauge!("switchboard_connections"),
            accepted: counter!("switchboard_connections_accepted_total"),
            messages_in: counter!("switchboard_messages_in_total"),
            bytes_in: counter!("switchboard_bytes_in_total"),
            bytes_out: counter!("switchboard_bytes_out_total"),
            http_refused: counter!("switchboard_http_requests_refused_total"),
            unknown_events: counter!("switchboard_unknown_events_total"),
            panics: counter!("switchboard_handler_panics_total"),
            lists: counter!("switchboard_member_lists_total"),
            inbox_failed: counter!("switchboard_undelivered_total", "reason" => "inbox_failed"),
            tokens_accepted: counter!("switchboard_tokens_accepted_total"),
            tokens_delayed: counter!("switchboard_tokens_delayed_total"),
            handler_seconds: histogram!("switchboard_handler_seconds"),
            closed: Default::default(),
        }
    }

    /// Counts a closed connection by its code; 1006 if there was no close frame. Private codes of a peer are
    /// counted together, since a peer could use thousands of them.
    pub(crate) fn closed(&self, code: u16, is_code_of_peer: bool) {
        self.connections.decrement(1.0);
        let counter = |label: String| counter!("switchboard_connections_closed_total", "code" => label);
        match (code, usize::from(code).checked_sub(1000).and_then(|place| self.closed.get(place))) {
            (_, Some(known)) => known.get_or_init(|| counter(code.to_string())).increment(1),
            (3000..4000, _) if is_code_of_peer => counter("3xxx".to_owned()).increment(1),
            (4000..5000, _) if is_code_of_peer => counter("4xxx".to_owned()).increment(1),
            _ => counter(code.to_string()).increment(1),
        }
    }

    /// Counts a frame that was ignored because it is invalid, or because the client may not send it.
    pub(crate) fn ignored_frame(&self, reason: &'static str) {
        counter!("switchboard_ignored_frames_total", "reason" => reason).increment(1);
    }

    /// Counts a client whose address trusted proxies did not report, by the reason.
    pub(crate) fn unknown_address(&self, reason: &'static str) {
        counter!("switchboard_client_addresses_unknown_total", "reason" => reason).increment(1);
    }

    /// Counts an event that was ignored because of a rule of its project.
    pub(crate) fn refused_event(&self, reason: &'static str) {
        counter!("switchboard_refused_events_total", "reason" => reason).increment(1);
    }

    /// Counts a refused token, or a login without one.
    pub(crate) fn refused_token(&self, reason: &'static str) {
        counter!("switchboard_tokens_refused_total", "reason" => reason).increment(1);
    }

    /// Records the duration of a handler.
    pub(crate) fn handled(&self, took: Duration) {
        self.handler_seconds.record(took);
    }
}
