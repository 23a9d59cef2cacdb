//! The labels of metrics with their values. No value is a text that a client has chosen, so the number of series has a
//! bound.

/// A label.
#[derive(Debug, Clone, Copy)]
pub struct Label {
    /// The name.
    pub name: &'static str,
    /// The values that are known in advance. A series exists for each of them from the start, so that rates and alerts
    /// see the first event.
    pub values: &'static [&'static str],
    /// Which other values there may be; empty if none.
    pub others: &'static str,
}

const fn label(name: &'static str, values: &'static [&'static str]) -> Label {
    Label { name, values, others: "" }
}

/// The labels of the build have one value each in a process.
pub(super) const VERSION: Label = label("version", &[]);
pub(super) const COMMIT: Label = label("commit", &[]);
pub(super) const RUSTC: Label = label("rustc", &[]);

pub(super) const PROTOCOL: Label = label("protocol", &["emit", "koji", "mesa"]);

pub(super) const CLOSE_CODE: Label = Label {
    name: "code",
    values: &[
        "1000", "1001", "1002", "1003", "1005", "1006", "1007", "1008", "1009", "1010", "1011", "1012",
        "1013", "1014", "3xxx", "4xxx",
    ],
    others: "3000 to 4999 if an application or a backend closed with that code",
};

pub(super) const REFUSED_CONNECTION: Label = label(
    "reason",
    &[
        "not_websocket",
        "bad_request",
        "head_too_large",
        "tls_handshake",
        "timeout",
        "origin",
        "cookie_origin",
        "address",
        "stopping",
        "draining",
        "server_full",
        "address_full",
        "connect_rate",
        "request_rate",
        "http_connections",
        "no_upgrade",
        "host",
        "project_full",
        "forbidden",
        "rate_limited",
        "unavailable",
    ],
);

pub(super) const DETACHED_OUTCOME: Label = label("outcome", &["resumed", "moved", "ended", "full"]);

pub(super) const REFUSED_RESUME: Label =
    label("reason", &["off", "forged", "expired", "used", "foreign", "token", "refused", "elsewhere"]);

pub(super) const UNKNOWN_ADDRESS: Label = label("reason", &["unreadable", "contradictory"]);

pub(super) const IGNORED_FRAME: Label = label(
    "reason",
    &[
        "not_an_object",
        "missing_field",
        "wrong_field",
        "too_long",
        "too_deep",
        "too_many_recipients",
        "reserved",
        "unknown_reply",
    ],
);

pub(super) const REFUSED_EVENT: Label =
    label("reason", &["not_allowed", "no_identity", "info_too_long", "shard_info_full"]);

pub(super) const FORBIDDEN: Label = label(
    "operation",
    &[
        "join",
        "tag",
        "send",
        "store",
        "query",
        "history",
        "seat",
        "automatic_seat",
        "relay",
        "user_info",
        "member_list",
        "list_shards",
    ],
);

pub(super) const RIGHTS_LOST: Label = label("reason", &["expired", "revoked", "replaced", "rule"]);

pub(super) const REFUSED_TOKEN: Label = Label {
    name: "reason",
    values: &[
        "no_token",
        "no_token_in_time",
        "too_long",
        "no_verifier",
        "malformed",
        "header",
        "claim",
        "algorithm",
        "signature",
        "expired",
        "not_yet_valid",
        "issuer",
        "audience",
        "no_user",
        "user",
        "project",
        "unavailable",
        "timeout",
        "revoked",
        "rate_limited",
        "superseded",
        "closed",
        "memberships",
        "panic",
    ],
    others: "in an application, the reasons of its own verifier",
};

/// `ok`, and the codes of problems that an endpoint can answer with.
pub(super) const API_OUTCOME: Label = label(
    "outcome",
    &[
        "ok",
        "invalid",
        "invalid_settings",
        "unauthorized",
        "expired",
        "forbidden",
        "in_progress",
        "too_large",
        "body_mismatch",
        "too_many",
        "full",
        "unknown",
        "not_stored",
        "unavailable",
    ],
);

pub(super) const RATE_RULE: Label =
    Label { name: "rule", values: &[], others: "the place of the rule in `limits.rules`, from 1 to 64" };

pub(super) const RATE_OUTCOME: Label = label("outcome", &["refused", "ignored", "closed"]);

pub(super) const RELOAD: Label = label("outcome", &["applied", "failed"]);

pub(super) const TLS_HANDSHAKE: Label = label("kind", &["full", "resumed"]);

pub(super) const CERTIFICATE: Label = Label {
    name: "certificate",
    values: &[],
    others: "the `cert` file of each pair in `tls.certificates`, and `acme`",
};

pub(super) const UNDELIVERED_REASON: Label = label(
    "reason",
    &[
        "outbox_full",
        "receiver_too_slow",
        "receiver_closing",
        "reserved_name",
        "receiver_gone",
        "no_receiver",
        "bus_down",
        "bus_full",
        "bus_interrupted",
        "inbox_full",
        "inbox_failed",
        "undecodable",
    ],
);

pub(super) const QUEUE: Label = label(
    "queue",
    &[
        "publications",
        "presence",
        "inbox",
        "receipts",
        "reports",
        "webhooks",
        "inbox_file",
        "webhook_file",
        "history",
    ],
);

pub(super) const REDIS_CONNECTION: Label =
    label("connection", &["publisher", "subscriber", "store", "inbox", "reports", "webhooks", "history"]);

pub(super) const REPAIR: Label = label("outcome", &["complete", "gap"]);

pub(super) const REPLACED_CONNECTION: Label = label("reason", &["replica", "other_server"]);

pub(super) const LOST_REPORT: Label = label("reason", &["queue_full", "backlog_full", "not_subscribed"]);

pub(super) const ENDPOINT: Label =
    Label { name: "endpoint", values: &[], others: "the names of the webhook endpoints in the settings" };

pub(super) const WEBHOOK_CALL: Label =
    label("outcome", &["success", "status", "gone", "address", "connect", "timeout", "too_long", "broken"]);

pub(super) const BACKEND: Label =
    Label { name: "backend", values: &[], others: "the names of the backends in the settings" };

pub(super) const HANDLER_CALL: Label = label(
    "outcome",
    &[
        "success", "silent", "busy", "status", "invalid", "address", "connect", "timeout", "too_long",
        "broken",
    ],
);

pub(super) const LOST_WEBHOOK_REPORT: Label = label("reason", &["queue_full", "too_old"]);

pub(super) const OVERFLOW_POLICY: Label = label("policy", &["volatile", "latest", "oldest"]);

/// The values of the label `reason` of `switchboard_undelivered_total`, each with its meaning.
pub const UNDELIVERED: &[(&str, &str)] = &[
    (
        "outbox_full",
        "Events with an overflow policy other than `live`, for each receiver whose outbox was full",
    ),
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
