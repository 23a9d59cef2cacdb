//! The list of metrics.

use labels::{
    API_OUTCOME, BACKEND, CERTIFICATE, CLOSE_CODE, COMMIT, DETACHED_OUTCOME, ENDPOINT, FORBIDDEN,
    HANDLER_CALL, IGNORED_FRAME, LOST_REPORT, LOST_WEBHOOK_REPORT, OVERFLOW_POLICY, PROTOCOL, QUEUE,
    RATE_OUTCOME, RATE_RULE, REDIS_CONNECTION, REFUSED_CONNECTION, REFUSED_EVENT, REFUSED_RESUME,
    REFUSED_TOKEN, RELOAD, REPAIR, REPLACED_CONNECTION, RIGHTS_LOST, RUSTC, TLS_HANDSHAKE,
    UNDELIVERED_REASON, UNKNOWN_ADDRESS, VERSION, WEBHOOK_CALL,
};
pub use labels::{Label, UNDELIVERED};

mod labels;

/// A metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Whether it counts up, goes up and down, or is a distribution.
    pub kind: Kind,
    /// The name, beginning with `switchboard_` or, as in all programs, `process_`. It ends with the unit, and that of a
    /// counter with `_total`.
    pub name: &'static str,
    /// The part of a process that has the metric.
    pub part: Part,
    /// The labels that divide it.
    pub labels: &'static [Label],
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

/// The recorder of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Every node.
    Node,
    /// The process, on Linux.
    Process,
    /// TLS of the listeners.
    Tls,
    /// The connections to Redis.
    Redis,
    /// The inbox, in Redis or in a file.
    Inbox,
    /// The inbox in Redis.
    RedisInbox,
    /// The inbox in a file.
    InboxFile,
    /// The reports of client actions to workers.
    Reports,
    /// The rate rules.
    RateRules,
    /// Sessions that outlive their connections.
    Resume,
    /// The endpoints of webhooks.
    Webhooks,
    /// The backends of handlers over HTTP.
    HttpHandlers,
    /// A worker, in its own process.
    Worker,
}

impl Metric {
    /// `bytes`, `seconds`, or, for what is counted, an empty text. The name ends with it.
    pub fn unit(&self) -> &'static str {
        let base = self.name.strip_suffix("_total").unwrap_or(self.name);
        ["bytes", "seconds"].into_iter().find(|unit| base.ends_with(unit)).unwrap_or_default()
    }

    /// All combinations of label values that are known in advance.
    pub(super) fn series(&self) -> Vec<Vec<metrics::Label>> {
        self.labels.iter().fold(vec![Vec::new()], |series, label| {
            let with = |of: &Vec<metrics::Label>, value: &'static str| {
                let mut of = of.clone();
                of.push(metrics::Label::from_static_parts(label.name, value));
                of
            };
            series.iter().flat_map(|of| label.values.iter().map(|value| with(of, value))).collect()
        })
    }
}

/// The metrics of a server.
pub const METRICS: &[Metric] = &[
    counter(
        "switchboard_connections_accepted_total",
        Part::Node,
        &[PROTOCOL],
        "Connections accepted since the start",
    ),
    gauge("switchboard_connections", Part::Node, &[PROTOCOL], "Open connections"),
    counter(
        "switchboard_connections_closed_total",
        Part::Node,
        &[PROTOCOL, CLOSE_CODE],
        "Closed connections, by close code; 1006 means that the connection broke without a close frame, 3xxx and 4xxx are private codes of clients",
    ),
    counter(
        "switchboard_connections_refused_total",
        Part::Node,
        &[REFUSED_CONNECTION],
        "Refused handshakes, and invalid or unfinished HTTP requests; after the handshake, with 1013: project_full, rate_limited, unavailable, and with 1008: forbidden",
    ),
    counter(
        "switchboard_http_requests_refused_total",
        Part::Node,
        &[],
        "Plain HTTP requests answered with 429, because their address exceeded its rate",
    ),
    counter(
        "switchboard_client_addresses_unknown_total",
        Part::Node,
        &[UNKNOWN_ADDRESS],
        "Clients that count as their proxy, because the address that trusted proxies reported is unreadable or contradictory",
    ),
    gauge("switchboard_draining", Part::Node, &[], "1 while the node is draining, otherwise 0"),
    counter(
        "switchboard_goaways_total",
        Part::Node,
        &[],
        "Notices to clients that they should move to another node, because this one is draining or stopping",
    ),
    gauge(
        "switchboard_detached_sessions",
        Part::Resume,
        &[],
        "Sessions without a connection that can be resumed",
    ),
    counter(
        "switchboard_detached_sessions_total",
        Part::Node,
        &[DETACHED_OUTCOME],
        "Sessions whose connection broke: resumed; moved to another node, also from an open connection; ended because nobody resumed them or somebody closed them; or not kept because resume.detached_max sessions were",
    ),
    counter(
        "switchboard_resumes_refused_total",
        Part::Node,
        &[REFUSED_RESUME],
        "Clients that got a new session in place of the one of their ticket: off, forged, expired (the session has ended), used (the ticket), foreign (another protocol), token (no longer valid, or another user's), refused (by a hook), elsewhere (on a node that does not answer)",
    ),
    gauge("switchboard_traces", Part::Node, &[], "Messages of which the node remembers what became of them"),
    counter("switchboard_trace_steps_total", Part::Node, &[], "Steps of traced messages that were recorded"),
    counter(
        "switchboard_trace_steps_dropped_total",
        Part::Node,
        &[],
        "Steps that were not recorded, because their message had 1,000 already or was forgotten",
    ),
    counter("switchboard_messages_received_total", Part::Node, &[PROTOCOL], "Messages received from clients"),
    counter(
        "switchboard_received_bytes_total",
        Part::Node,
        &[PROTOCOL],
        "Bytes received from clients, including frame headers",
    ),
    counter(
        "switchboard_sent_bytes_total",
        Part::Node,
        &[PROTOCOL],
        "Bytes sent to clients, including frame headers",
    ),
    counter(
        "switchboard_ignored_frames_total",
        Part::Node,
        &[PROTOCOL, IGNORED_FRAME],
        "Frames of clients that were ignored, because they are invalid, are reserved for the server, or answer a request that is not pending",
    ),
    counter(
        "switchboard_unhandled_events_total",
        Part::Node,
        &[PROTOCOL],
        "Events without a handler or a worker that accepts them",
    ),
    counter(
        "switchboard_refused_events_total",
        Part::Node,
        &[PROTOCOL, REFUSED_EVENT],
        "Events of clients that a rule of their project forbids",
    ),
    counter(
        "switchboard_forbidden_total",
        Part::Node,
        &[FORBIDDEN],
        "Operations of clients that were refused, because neither the token nor the rule of the project gives the right; the values are those of the table of rights",
    ),
    counter(
        "switchboard_rights_lost_total",
        Part::Node,
        &[RIGHTS_LOST],
        "Clients that have left rooms, tags or shards, because they lost the right: by a token that expired, was revoked or was replaced by another, or by a new rule",
    ),
    counter("switchboard_handler_panics_total", Part::Node, &[PROTOCOL], "Handlers that panicked"),
    histogram(
        "switchboard_handler_duration_seconds",
        Part::Node,
        &[PROTOCOL],
        "Time from the event to the end of its handler",
    ),
    histogram(
        "switchboard_stall_duration_seconds",
        Part::Node,
        &[PROTOCOL],
        "Time for which a connection was not read because receivers of its messages were behind",
    ),
    counter(
        "switchboard_stall_answers_missing_total",
        Part::Node,
        &[],
        "Nodes that did not report in time that their receivers have caught up with a sender of this node",
    ),
    counter("switchboard_member_lists_total", Part::Node, &[], "Member lists sent to Koji clients"),
    counter("switchboard_tokens_accepted_total", Part::Node, &[PROTOCOL], "Tokens that logged a socket in"),
    counter(
        "switchboard_tokens_refused_total",
        Part::Node,
        &[PROTOCOL, REFUSED_TOKEN],
        "Refused tokens, and logins without a token",
    ),
    counter(
        "switchboard_tokens_delayed_total",
        Part::Node,
        &[],
        "Tokens that waited for a turn, because their address had many refused tokens or used up its time",
    ),
    counter(
        "switchboard_tokens_revoked_total",
        Part::Node,
        &[PROTOCOL],
        "Sockets that were logged out because their token was revoked",
    ),
    gauge("switchboard_revocations", Part::Node, &[], "Revoked tokens and users that the node remembers"),
    counter(
        "switchboard_api_requests_total",
        Part::Node,
        &[API_OUTCOME],
        "Requests to endpoints of the HTTP API; a batch counts once",
    ),
    counter(
        "switchboard_rate_limited_total",
        Part::RateRules,
        &[RATE_RULE, RATE_OUTCOME],
        "Events and other operations of clients that exceeded a rate rule",
    ),
    gauge(
        "switchboard_rate_keys",
        Part::RateRules,
        &[],
        "Users, addresses and projects that rate rules count",
    ),
    counter(
        "switchboard_rate_keys_evicted_total",
        Part::Node,
        &[],
        "Users, addresses and projects that were forgotten because rate rules counted limits.rule_keys_max of them",
    ),
    counter(
        "switchboard_settings_reloads_total",
        Part::Node,
        &[RELOAD],
        "Reloads of the settings by SIGHUP or over the HTTP API: applied, or failed, so that the previous settings stay in effect",
    ),
    counter(
        "switchboard_tls_handshakes_total",
        Part::Node,
        &[TLS_HANDSHAKE],
        "TLS handshakes that succeeded: in full, or resumed with a ticket; failed ones are refused connections",
    ),
    counter(
        "switchboard_tls_reloads_total",
        Part::Node,
        &[RELOAD],
        "Certificates whose changed files were used, or could not be used",
    ),
    gauge(
        "switchboard_tls_certificates_failed",
        Part::Tls,
        &[],
        "Certificates whose files cannot be used at present; their previous versions stay in use",
    ),
    gauge(
        "switchboard_tls_certificate_not_after_seconds",
        Part::Tls,
        &[CERTIFICATE],
        "Time in seconds since 1970 after which clients refuse the certificate; 0 if the settings have it no more",
    ),
    counter(
        "switchboard_log_lines_suppressed_total",
        Part::Node,
        &[],
        "Log lines that were not written, because there were too many of their kind",
    ),
    counter(
        "switchboard_deliveries_total",
        Part::Node,
        &[],
        "Frames put into outboxes, counted once for each receiver",
    ),
    counter("switchboard_delivery_bytes_total", Part::Node, &[], "Bytes put into outboxes"),
    counter(
        "switchboard_frames_replaced_total",
        Part::Node,
        &[],
        "Member lists, heartbeats and messages with the policy `latest` in outboxes that newer ones replaced before they were sent",
    ),
    counter(
        "switchboard_dropped_frames_total",
        Part::Node,
        &[OVERFLOW_POLICY],
        "Messages that were dropped because the outbox of a receiver was full, for each receiver",
    ),
    counter(
        "switchboard_lagging_deliveries_total",
        Part::Node,
        &[],
        "Messages that were not queued because the outbox of a receiver was full; the receiver gets them from the history of the room",
    ),
    counter(
        "switchboard_catch_ups_total",
        Part::Node,
        &[REPAIR],
        "Receivers with a full outbox that have caught up with a room from its history, or found that messages were gone from it",
    ),
    counter(
        "switchboard_undelivered_total",
        Part::Node,
        &[UNDELIVERED_REASON],
        "Messages that did not reach a receiver",
    ),
    counter(
        "switchboard_history_messages_total",
        Part::Node,
        &[],
        "Messages of this node that the history of their room has taken",
    ),
    counter(
        "switchboard_history_unavailable_total",
        Part::Node,
        &[],
        "Messages delivered without a position, because the history of their room was unavailable",
    ),
    counter(
        "switchboard_history_repairs_total",
        Part::Node,
        &[REPAIR],
        "Rooms on this node whose missing messages were read from the history, or were gone from it",
    ),
    gauge("switchboard_history_rooms", Part::Node, &[], "Rooms with a history in the memory of this node"),
    gauge(
        "switchboard_history_bytes",
        Part::Node,
        &[],
        "Bytes of the histories in the memory of this node, with what is kept for each message",
    ),
    counter(
        "switchboard_history_evicted_rooms_total",
        Part::Node,
        &[],
        "Histories of rooms removed because all histories together reached a bound; the room begins a new epoch",
    ),
    gauge(
        "switchboard_outbox_bytes",
        Part::Node,
        &[],
        "Bytes queued in outboxes; a frame counts in each outbox",
    ),
    gauge(
        "switchboard_outbox_held_bytes",
        Part::Node,
        &[],
        "Bytes of frames in outboxes; a frame that several share counts once, and a partly sent one as a whole",
    ),
    gauge(
        "switchboard_queue_bytes",
        Part::Node,
        &[QUEUE],
        "Bytes in this node's queues: publications, presence, inbox (messages to be stored), receipts, reports and history (messages to rooms) for Redis, jobs for the inbox_file, and reports for the webhook_file",
    ),
    gauge("switchboard_nodes", Part::Redis, &[], "Nodes with a valid lease, including this one"),
    gauge(
        "switchboard_redis_up",
        Part::Redis,
        &[REDIS_CONNECTION],
        "1 while this connection to Redis is up, by its use",
    ),
    counter(
        "switchboard_redis_connections_replaced_total",
        Part::Redis,
        &[REPLACED_CONNECTION],
        "Connections to Redis that were given up because they led to a replica, or to another server than newer connections",
    ),
    counter("switchboard_bus_published_total", Part::Redis, &[], "Publications that Redis accepted"),
    histogram(
        "switchboard_bus_publish_duration_seconds",
        Part::Redis,
        &[],
        "Time from the first publication of a pipeline until Redis has accepted the pipeline, including the wait in the queue",
    ),
    counter("switchboard_bus_received_total", Part::Redis, &[], "Publications received from other nodes"),
    counter(
        "switchboard_bus_undecodable_total",
        Part::Redis,
        &[],
        "Messages on Switchboard channels of Redis that could not be decoded",
    ),
    gauge("switchboard_bus_channels", Part::Redis, &[], "Redis channels that this node is subscribed to"),
    counter(
        "switchboard_store_changes_total",
        Part::Redis,
        &[],
        "Changes of presence and seats written to Redis",
    ),
    counter(
        "switchboard_presence_rewrites_total",
        Part::Redis,
        &[],
        "Full rewrites of this node's presence in Redis, because its lease expired, Redis lost its data, or too many changes were queued",
    ),
    counter(
        "switchboard_leases_swept_total",
        Part::Redis,
        &[],
        "Expired leases of other nodes that this node removed with their entries",
    ),
    counter(
        "switchboard_reports_total",
        Part::Reports,
        &[],
        "Client actions reported to workers, and with Redis to webhooks",
    ),
    counter(
        "switchboard_reports_lost_total",
        Part::Reports,
        &[LOST_REPORT],
        "Reports dropped: this node's queue was full, the backlog of a worker group was full, or the selected original Portal was not subscribed",
    ),
    counter(
        "switchboard_http_handler_calls_total",
        Part::HttpHandlers,
        &[BACKEND, HANDLER_CALL],
        "Events and connections that a backend was asked about, by outcome; silent ones failed at once, because the last calls had no response",
    ),
    gauge(
        "switchboard_http_handler_calls",
        Part::HttpHandlers,
        &[BACKEND],
        "Calls that wait for the answer of a backend",
    ),
    histogram(
        "switchboard_http_handler_duration_seconds",
        Part::HttpHandlers,
        &[BACKEND],
        "Time from the call of a backend to the end of its response",
    ),
    counter(
        "switchboard_webhook_reports_total",
        Part::Webhooks,
        &[ENDPOINT],
        "Reports that a webhook endpoint has accepted",
    ),
    counter(
        "switchboard_webhook_reports_lost_total",
        Part::Webhooks,
        &[ENDPOINT, LOST_WEBHOOK_REPORT],
        "Reports dropped: the queue of the endpoint was full, or the report was older than hooks.retry_for_s",
    ),
    counter(
        "switchboard_webhook_calls_total",
        Part::Webhooks,
        &[ENDPOINT, WEBHOOK_CALL],
        "Calls of webhook endpoints, by outcome; a failed call is repeated",
    ),
    gauge(
        "switchboard_webhook_backlog_reports",
        Part::Webhooks,
        &[ENDPOINT],
        "Reports that this node holds for a webhook endpoint; with Redis, further ones are in its streams",
    ),
    gauge(
        "switchboard_webhook_backlog_age_seconds",
        Part::Webhooks,
        &[ENDPOINT],
        "Age of the oldest report that this node holds for a webhook endpoint",
    ),
    counter(
        "switchboard_inbox_stored_total",
        Part::Inbox,
        &[],
        "Messages stored in inboxes, counted once for each user",
    ),
    counter(
        "switchboard_inbox_adopted_total",
        Part::RedisInbox,
        &[],
        "Messages of original Mesa Dispatchers that were moved into an inbox",
    ),
    counter(
        "switchboard_inbox_evicted_total",
        Part::Inbox,
        &[],
        "Messages removed from an inbox by newer messages, because it was full",
    ),
    counter(
        "switchboard_inbox_expired_total",
        Part::Inbox,
        &[],
        "Messages removed from an inbox because of their age",
    ),
    counter(
        "switchboard_inbox_acknowledged_total",
        Part::Inbox,
        &[],
        "Messages removed from an inbox after their acknowledgement",
    ),
    gauge("switchboard_inbox_messages", Part::InboxFile, &[], "Messages stored in this node's inbox file"),
    gauge("switchboard_inbox_file_up", Part::InboxFile, &[], "1 while this node's inbox file can be written"),
    counter(
        "switchboard_inbox_receipts_dropped_total",
        Part::Inbox,
        &[],
        "Acknowledgements dropped because too many were queued; their messages are redelivered",
    ),
    gauge(
        "switchboard_build_info",
        Part::Node,
        &[VERSION, COMMIT, RUSTC],
        "1, with the version of the binary as labels",
    ),
    counter(
        "process_cpu_seconds_total",
        Part::Process,
        &[],
        "User and system CPU time of this process in seconds",
    ),
    gauge("process_resident_memory_bytes", Part::Process, &[], "Resident memory of this process"),
    gauge("process_virtual_memory_bytes", Part::Process, &[], "Virtual memory of this process"),
    gauge("process_open_fds", Part::Process, &[], "Open file descriptors; each connection has one"),
    gauge("process_max_fds", Part::Process, &[], "Most file descriptors that this process may have open"),
    gauge("process_threads", Part::Process, &[], "Threads of this process"),
    gauge("process_start_time_seconds", Part::Process, &[], "Start of this process, in seconds since 1970"),
];

/// The metrics of a worker, which records them through its own process's recorder.
pub const WORKER_METRICS: &[Metric] = &[
    counter("switchboard_worker_jobs_total", Part::Worker, &[], "Jobs passed to the handlers of this worker"),
    gauge("switchboard_worker_reply_queue_bytes", Part::Worker, &[], "Bytes of replies queued for Redis"),
    counter(
        "switchboard_worker_replies_lost_total",
        Part::Worker,
        &[],
        "Replies that may not have reached Redis",
    ),
    counter("switchboard_worker_panics_total", Part::Worker, &[], "Handlers of this worker that panicked"),
];

const fn counter(name: &'static str, part: Part, labels: &'static [Label], help: &'static str) -> Metric {
    Metric { kind: Kind::Counter, name, part, labels, help }
}

const fn gauge(name: &'static str, part: Part, labels: &'static [Label], help: &'static str) -> Metric {
    Metric { kind: Kind::Gauge, name, part, labels, help }
}

const fn histogram(name: &'static str, part: Part, labels: &'static [Label], help: &'static str) -> Metric {
    Metric { kind: Kind::Histogram, name, part, labels, help }
}
