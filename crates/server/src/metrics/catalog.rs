//! The list of metrics.

/// A metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Whether it counts up, goes up and down, or is a distribution.
    pub kind: Kind,
    /// The name, beginning with `switchboard_`.
    pub name: &'static str,
    /// The label that divides it; empty if it has none.
    pub label: &'static str,
    /// One plain sentence.
    pub help: &'static str,
}

/// The kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only increases.
    Counter,
    /// Increases and decreases.
    Gauge,
    /// A distribution of values.
    Histogram,
}

/// The metrics of a server.
pub const METRICS: &[Metric] = &[
    counter("switchboard_connections_accepted_total", "", "Connections accepted since the start"),
    gauge("switchboard_connections", "", "Open connections"),
    counter(
        "switchboard_connections_closed_total",
        "code",
        "Closed connections, by close code; 1006 means that the connection broke without a close frame, 3xxx and 4xxx are private codes of clients",
    ),
    counter(
        "switchboard_connections_refused_total",
        "reason",
        "Refused handshakes, and invalid or unfinished HTTP requests, by reason: not_websocket, bad_request, head_too_large, timeout, origin, cookie_origin, address, stopping, server_full, address_full, connect_rate, request_rate, http_connections, no_upgrade, host; after the handshake, with 1013: project_full, unavailable, and with 1008: forbidden",
    ),
    counter(
        "switchboard_http_requests_refused_total",
        "",
        "Plain HTTP requests answered with 429, because their address exceeded its rate",
    ),
    counter(
        "switchboard_client_addresses_unknown_total",
        "reason",
        "Clients that count as their proxy, because the address that trusted proxies reported is unreadable or contradictory",
    ),
    counter("switchboard_messages_in_total", "", "Messages received from clients"),
    counter("switchboard_bytes_in_total", "", "Bytes received from clients, including frame headers"),
    counter("switchboard_bytes_out_total", "", "Bytes sent to clients, including frame headers"),
    counter(
        "switchboard_ignored_frames_total",
        "reason",
        "Frames of clients that were ignored, by reason: not_an_object, missing_field, wrong_field, too_long, too_deep, too_many_recipients, reserved for the server, or unknown_reply to a request that is not pending",
    ),
    counter("switchboard_unknown_events_total", "", "Events without a handler or a worker that accepts them"),
    counter(
        "switchboard_refused_events_total",
        "reason",
        "Events of clients that a rule of their project forbids, by reason",
    ),
    counter(
        "switchboard_forbidden_total",
        "operation",
        "Operations of clients that were refused, because neither the token nor the rule of the project gives the right, by operation as in the table of rights",
    ),
    counter(
        "switchboard_rights_lost_total",
        "reason",
        "Clients that have left rooms, tags or shards, because they lost the right, by reason: expired, replaced by another token, or rule",
    ),
    counter("switchboard_handler_panics_total", "", "Handlers that panicked"),
    histogram("switchboard_handler_seconds", "", "Time from the event to the end of its handler"),
    counter("switchboard_member_lists_total", "", "Member lists sent to Koji clients"),
    counter("switchboard_tokens_accepted_total", "", "Tokens that logged a socket in"),
    counter(
        "switchboard_settings_reloads_total",
        "outcome",
        "Reloads of the settings by SIGHUP, by outcome: applied, or failed, so that the previous settings stay in effect",
    ),
    counter(
        "switchboard_tokens_refused_total",
        "reason",
        "Refused tokens, and logins without a token, by reason",
    ),
    counter(
        "switchboard_tokens_delayed_total",
        "",
        "Tokens that waited for a turn, because their address had many refused tokens or used up its time",
    ),
    counter(
        "switchboard_log_lines_suppressed_total",
        "",
        "Log lines that were not written, because there were too many of their kind",
    ),
    counter("switchboard_deliveries_total", "", "Frames put into outboxes, counted once for each receiver"),
    counter("switchboard_deliveries_bytes_total", "", "Bytes put into outboxes"),
    counter(
        "switchboard_frames_replaced_total",
        "",
        "Member lists and heartbeats in outboxes that newer ones replaced before they were sent",
    ),
    counter(
        "switchboard_undelivered_total",
        "reason",
        "Messages that did not reach a receiver, by reason; see [below](#undelivered-messages)",
    ),
    gauge("switchboard_outbox_bytes", "", "Bytes queued in outboxes; a frame counts in each outbox"),
    gauge(
        "switchboard_outbox_held_bytes",
        "",
        "Bytes of frames in outboxes; a frame that several share counts once, and a partly sent one as a whole",
    ),
    gauge(
        "switchboard_queue_bytes",
        "queue",
        "Bytes in this node's queues: publications, presence, inbox (messages to be stored), receipts and reports for Redis, and jobs for the inbox_file",
    ),
    gauge("switchboard_nodes", "", "Nodes with a valid lease, including this one"),
    gauge("switchboard_redis_up", "connection", "1 while this connection to Redis is up, by its use"),
    counter(
        "switchboard_redis_connections_replaced_total",
        "reason",
        "Connections to Redis that were given up because they led to a replica, or to another server than newer connections, by reason",
    ),
    counter("switchboard_bus_published_total", "", "Publications that Redis accepted"),
    counter("switchboard_bus_received_total", "", "Publications received from other nodes"),
    counter(
        "switchboard_bus_undecodable_total",
        "",
        "Messages on Switchboard channels of Redis that could not be decoded",
    ),
    gauge("switchboard_bus_channels", "", "Redis channels that this node is subscribed to"),
    counter("switchboard_store_changes_total", "", "Changes of presence and seats written to Redis"),
    counter(
        "switchboard_leases_lost_total",
        "",
        "Full rewrites of this node's presence in Redis, because its lease expired, Redis lost its data, or too many changes were queued",
    ),
    counter(
        "switchboard_leases_swept_total",
        "",
        "Expired leases of other nodes that this node removed with their entries",
    ),
    counter("switchboard_reports_total", "", "Client actions reported to workers"),
    counter(
        "switchboard_reports_lost_total",
        "reason",
        "Reports dropped, by reason: this node's queue was full, the backlog of a worker group was full, or the selected original Portal was not subscribed",
    ),
    counter("switchboard_inbox_stored_total", "", "Messages stored in inboxes, counted once for each user"),
    counter(
        "switchboard_inbox_adopted_total",
        "",
        "Messages of original Mesa Dispatchers that were moved into an inbox",
    ),
    counter(
        "switchboard_inbox_evicted_total",
        "",
        "Messages removed from an inbox by newer messages, because it was full",
    ),
    counter("switchboard_inbox_expired_total", "", "Messages removed from an inbox because of their age"),
    counter(
        "switchboard_inbox_acknowledged_total",
        "",
        "Messages removed from an inbox after their acknowledgement",
    ),
    gauge("switchboard_inbox_messages", "", "Messages stored in this node's inbox file"),
    gauge("switchboard_inbox_file_up", "", "1 while this node's inbox file can be written"),
    counter(
        "switchboard_inbox_receipts_dropped_total",
        "",
        "Acknowledgements dropped because too many were queued; their messages are redelivered",
    ),
];

/// The values of the label `reason` of `switchboard_undelivered_total`, each with its meaning.
pub const UNDELIVERED: &[(&str, &str)] = &[
    ("outbox_full", "Volatile events, for each receiver whose outbox was full"),
    ("receiver_too_slow", "Events, for each receiver that was closed with 1013 because its outbox was full"),
    ("receiver_closing", "Events, for each receiver that was being closed"),
    ("reserved_name", "Events, for each receiver whose protocol reserves the name for the server"),
    (
        "receiver_gone",
        "Events in the outbox of a receiver when its connection ended; more than 65,535 of one receiver count as that many",
    ),
    (
        "no_receiver",
        "Events for users or sockets of which none was connected, counted once; with Redis only if no other node was subscribed",
    ),
    ("bus_down", "Publications to other nodes, while Redis was down"),
    ("bus_full", "Publications to other nodes, while the queue for Redis was full"),
    (
        "bus_interrupted",
        "Publications without a reply when the connection to Redis broke; they may have arrived",
    ),
    (
        "inbox_full",
        "Messages that were not stored, for each user: the project was full, or the message too large",
    ),
    ("inbox_failed", "Messages that may not have been stored, for each user: the inbox did not answer"),
    (
        "undecodable",
        "Stored messages that could not be decoded: dropped from Redis, or set aside in the inbox file",
    ),
];

/// The metrics of a worker, which records them through its own process's recorder.
pub const WORKER_METRICS: &[Metric] = &[
    counter("switchboard_worker_jobs_total", "", "Jobs passed to the handlers of this worker"),
    gauge("switchboard_worker_replies_bytes", "", "Bytes of replies queued for Redis"),
    counter("switchboard_worker_replies_lost_total", "", "Replies that may not have reached Redis"),
    counter("switchboard_worker_panics_total", "", "Handlers of this worker that panicked"),
];

const fn counter(name: &'static str, label: &'static str, help: &'static str) -> Metric {
    Metric { kind: Kind::Counter, name, label, help }
}

const fn gauge(name: &'static str, label: &'static str, help: &'static str) -> Metric {
    Metric { kind: Kind::Gauge, name, label, help }
}

const fn histogram(name: &'static str, label: &'static str, help: &'static str) -> Metric {
    Metric { kind: Kind::Histogram, name, label, help }
}
