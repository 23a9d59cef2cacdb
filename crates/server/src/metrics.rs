//! What the server counts, in Prometheus' words.

use std::sync::atomic::Ordering;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use switchboard::App;

/// Upper bounds of the handler times, in seconds: from 10 µs to 10 s.
const HANDLER_SECONDS: &[f64] = &[0.000_01, 0.000_1, 0.001, 0.01, 0.1, 1.0, 10.0];

/// Installs the recorder for this process. Called before the app is first used.
pub(crate) fn install() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full("switchboard_handler_seconds".into()), HANDLER_SECONDS)?
        .install_recorder()?;
    describe_gauge!("switchboard_connections", "Connections that are open");
    describe_counter!("switchboard_connections_accepted_total", "Connections since the start");
    describe_counter!(
        "switchboard_connections_closed_total",
        "Connections that ended, by close code; 1006 means cut"
    );
    describe_counter!(
        "switchboard_connections_refused_total",
        "Handshakes that were refused, by HTTP status"
    );
    describe_counter!("switchboard_messages_in_total", "Messages from clients");
    describe_counter!("switchboard_bytes_in_total", Unit::Bytes, "Bytes from clients, with their frames");
    describe_counter!("switchboard_bytes_out_total", Unit::Bytes, "Bytes to clients, with their frames");
    describe_counter!("switchboard_bad_frames_total", "Frames that were not understood and ignored");
    describe_counter!("switchboard_unknown_events_total", "Events that nothing handles");
    describe_counter!("switchboard_handler_panics_total", "Handlers that panicked");
    describe_counter!(
        "switchboard_refused_events_total",
        "Events of clients that a rule of their project forbids, by reason"
    );
    describe_counter!("switchboard_member_lists_total", "Lists of who is on a shard, for receivers");
    describe_counter!("switchboard_tokens_total", "Tokens that were looked at, by outcome");
    describe_histogram!(
        "switchboard_handler_seconds",
        Unit::Seconds,
        "Time from an event to its handler's end"
    );
    describe_counter!("switchboard_deliveries_total", "Frames for receivers, by outcome");
    describe_counter!("switchboard_deliveries_bytes_total", Unit::Bytes, "Bytes put into outboxes");
    describe_gauge!("switchboard_outbox_bytes", Unit::Bytes, "Bytes that wait in outboxes");
    describe_nodes();
    Ok(handle)
}

/// What there is to know of many nodes as one.
fn describe_nodes() {
    describe_gauge!("switchboard_nodes", "Nodes whose leases stand, with this one");
    describe_gauge!("switchboard_redis_up", "1 while a connection to Redis is up, by its use");
    describe_counter!("switchboard_bus_published_total", "Publications that Redis took");
    describe_counter!(
        "switchboard_bus_lost_total",
        "Publications that were not queued for other nodes: Redis is away, or too much waits"
    );
    describe_counter!(
        "switchboard_bus_interrupted_total",
        "Publications in the queue when the connection ended"
    );
    describe_counter!("switchboard_bus_received_total", "Publications from other nodes");
    describe_counter!(
        "switchboard_bus_undecodable_total",
        "Messages on our channels that are no publications"
    );
    describe_gauge!("switchboard_bus_channels", "Channels that this node hears");
    describe_counter!("switchboard_store_changes_total", "Changes of presence and seats that were written");
    describe_counter!(
        "switchboard_leases_lost_total",
        "Times that everything was written anew: the lease had ended, Redis was another, or too much waited"
    );
    describe_counter!("switchboard_reports_total", "Reports of clients that were handed in for others");
    describe_counter!(
        "switchboard_reports_lost_total",
        "Reports that nobody gets, by reason: this node's queue was full, a group's backlog was, or the \
         original Portal that had its turn did not listen"
    );
    describe_counter!("switchboard_leases_swept_total", "Leases of dead nodes that this one took out");
    describe_inboxes();
}

/// What there is to know of messages that wait for users.
fn describe_inboxes() {
    describe_counter!("switchboard_inbox_stored_total", "Messages put into inboxes, each for each user");
    describe_counter!(
        "switchboard_inbox_adopted_total",
        "Messages that original Mesa Dispatchers had stored and that wait here now"
    );
    describe_counter!("switchboard_inbox_evicted_total", "Messages that gave way to later ones");
    describe_counter!("switchboard_inbox_refused_total", "Messages that found no room in an inbox");
    describe_counter!("switchboard_inbox_expired_total", "Messages that waited for too long");
    describe_counter!("switchboard_inbox_acknowledged_total", "Messages that arrived and wait no more");
    describe_gauge!("switchboard_inbox_messages", "Messages that wait for users in this node's file");
    describe_counter!(
        "switchboard_inbox_receipts_cut_total",
        "Receipts that are not written: too many waited; their messages are delivered again"
    );
}

/// Takes over what the hub counts by itself.
pub(crate) fn sample(app: &App) {
    let stats = app.hub().stats();
    let outcome = |outcome: &'static str, count: &std::sync::atomic::AtomicU64| {
        counter!("switchboard_deliveries_total", "outcome" => outcome)
            .absolute(count.load(Ordering::Relaxed));
    };
    outcome("queued", &stats.queued);
    outcome("dropped", &stats.dropped);
    outcome("closed", &stats.overflowed);
    counter!("switchboard_deliveries_bytes_total").absolute(stats.queued_bytes.load(Ordering::Relaxed));
    counter!("switchboard_bus_lost_total").absolute(stats.lost.load(Ordering::Relaxed));
    let waiting: usize =
        app.hub().index().all_sessions().iter().map(|session| session.outbox.queued_bytes()).sum();
    gauge!("switchboard_outbox_bytes").set(waiting as f64);
}
