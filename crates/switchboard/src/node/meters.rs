//! Metrics of an app, through the `metrics` facade. A recorder must be installed before the app starts.
//!
//! A metric of single connections has the label `protocol`.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use switchboard_event::Protocol;

/// Handles of the metrics. They are looked up once, so that counting is one atomic addition.
pub(crate) struct Meters {
    protocols: [ProtocolMeters; Protocol::COUNT],
    pub(crate) http_refused: Counter,
    pub(crate) lists: Counter,
    /// Messages for users that could not be stored.
    pub(crate) inbox_failed: Counter,
    pub(crate) tokens_delayed: Counter,
    /// Answers to marks of flow control that did not arrive in time.
    pub(crate) unanswered_marks: Counter,
}

/// The metrics of one protocol.
pub(crate) struct ProtocolMeters {
    protocol: &'static str,
    connections: Gauge,
    accepted: Counter,
    pub(crate) messages_received: Counter,
    pub(crate) bytes_received: Counter,
    pub(crate) bytes_sent: Counter,
    pub(crate) unhandled_events: Counter,
    pub(crate) handler_panics: Counter,
    pub(crate) tokens_accepted: Counter,
    handler_duration: Histogram,
    /// Closed connections by code, from 1000. Looked up at the first close with a code.
    closed: [OnceLock<Counter>; 16],
    stall_duration: Histogram,
}

impl Meters {
    pub(crate) fn new() -> Self {
        Meters {
            protocols: Protocol::ALL.map(|protocol| ProtocolMeters::new(protocol.name())),
            http_refused: counter!("switchboard_http_requests_refused_total"),
            lists: counter!("switchboard_member_lists_total"),
            inbox_failed: counter!("switchboard_undelivered_total", "reason" => "inbox_failed"),
            tokens_delayed: counter!("switchboard_tokens_delayed_total"),
            unanswered_marks: counter!("switchboard_stall_answers_missing_total"),
        }
    }

    /// The metrics of a protocol.
    pub(crate) fn of(&self, protocol: Protocol) -> &ProtocolMeters {
        &self.protocols[protocol.index()]
    }

    /// Counts a client whose address trusted proxies did not report, by the reason.
    pub(crate) fn count_unknown_address(&self, reason: &'static str) {
        counter!("switchboard_client_addresses_unknown_total", "reason" => reason).increment(1);
    }
}

impl ProtocolMeters {
    fn new(protocol: &'static str) -> Self {
        ProtocolMeters {
            protocol,
            connections: gauge!("switchboard_connections", "protocol" => protocol),
            accepted: counter!("switchboard_connections_accepted_total", "protocol" => protocol),
            messages_received: counter!("switchboard_messages_received_total", "protocol" => protocol),
            bytes_received: counter!("switchboard_received_bytes_total", "protocol" => protocol),
            bytes_sent: counter!("switchboard_sent_bytes_total", "protocol" => protocol),
            unhandled_events: counter!("switchboard_unhandled_events_total", "protocol" => protocol),
            handler_panics: counter!("switchboard_handler_panics_total", "protocol" => protocol),
            tokens_accepted: counter!("switchboard_tokens_accepted_total", "protocol" => protocol),
            handler_duration: histogram!("switchboard_handler_duration_seconds", "protocol" => protocol),
            closed: Default::default(),
            stall_duration: histogram!("switchboard_stall_duration_seconds", "protocol" => protocol),
        }
    }

    /// Counts a connection that was added to the hub.
    pub(crate) fn count_accepted(&self) {
        self.connections.increment(1.0);
        self.accepted.increment(1);
    }

    /// Counts a closed connection by its code; 1006 if there was no close frame. Private codes of a peer are
    /// counted together, since a peer could use thousands of them.
    pub(crate) fn count_closed(&self, code: u16, is_code_of_peer: bool) {
        self.connections.decrement(1.0);
        let protocol = self.protocol;
        let counter = |label: String| counter!("switchboard_connections_closed_total", "protocol" => protocol, "code" => label);
        match (code, usize::from(code).checked_sub(1000).and_then(|place| self.closed.get(place))) {
            (_, Some(known)) => known.get_or_init(|| counter(code.to_string())).increment(1),
            (3000..4000, _) if is_code_of_peer => counter("3xxx".to_owned()).increment(1),
            (4000..5000, _) if is_code_of_peer => counter("4xxx".to_owned()).increment(1),
            _ => counter(code.to_string()).increment(1),
        }
    }

    /// Counts a frame that was ignored because it is invalid, or because the client may not send it.
    pub(crate) fn count_ignored_frame(&self, reason: &'static str) {
        let protocol = self.protocol;
        counter!("switchboard_ignored_frames_total", "protocol" => protocol, "reason" => reason).increment(1);
    }

    /// Counts an event that was ignored because of a rule of its project.
    pub(crate) fn count_refused_event(&self, reason: &'static str) {
        let protocol = self.protocol;
        counter!("switchboard_refused_events_total", "protocol" => protocol, "reason" => reason).increment(1);
    }

    /// Counts a refused token, or a login without one.
    pub(crate) fn count_refused_token(&self, reason: &'static str) {
        let protocol = self.protocol;
        counter!("switchboard_tokens_refused_total", "protocol" => protocol, "reason" => reason).increment(1);
    }

    /// Records how long a connection was not read because receivers were behind.
    pub(crate) fn record_stall(&self, took: Duration) {
        self.stall_duration.record(took);
    }

    /// Records the duration of a handler.
    pub(crate) fn record_handler(&self, took: Duration) {
        self.handler_duration.record(took);
    }
}
