//! The state of a running server, and its operations on connections of any protocol.
//!
//! All clones of an app share one [`Node`]. Settings can change until its first use, which creates the
//! hub. The node does not depend on applications or protocols: higher layers pass it a [`Wiring`] when
//! they create it, and store their own state in it and in each [`ConnectionState`](connection_state::ConnectionState).

pub(crate) mod access;
pub(crate) mod address_table;
pub(crate) mod calls;
pub(crate) mod clock;
pub(crate) mod commands;
pub(crate) mod connect_gate;
pub(crate) mod connection_info;
pub(crate) mod connection_state;
pub(crate) mod delays;
pub(crate) mod drain;
pub(crate) mod dry_run;
pub(crate) mod encoders;
pub(crate) mod ending_session;
pub(crate) mod errors;
pub(crate) mod flow_control;
pub(crate) mod history;
pub(crate) mod history_request;
pub(crate) mod history_settings;
pub(crate) mod identity;
pub(crate) mod inbox;
pub(crate) mod incoming;
pub mod limit;
pub(crate) mod limits;
pub(crate) mod logged_client;
pub(crate) mod membership;
pub(crate) mod message;
pub(crate) mod meters;
pub(crate) mod network;
pub(crate) mod node_queries;
pub(crate) mod overflow;
pub(crate) mod overflowed_receivers;
pub(crate) mod questions;
pub(crate) mod rates;
pub(crate) mod refusal_reason;
pub(crate) mod refused_event;
pub(crate) mod remote;
pub(crate) mod replaceable;
pub(crate) mod reports;
pub(crate) mod request_cost;
pub(crate) mod requests;
pub(crate) mod resume;
pub(crate) mod revocations;
pub(crate) mod room_positions;
pub(crate) mod room_repair;
pub(crate) mod send_hooks;
pub(crate) mod socket_details;
pub(crate) mod stalls;
pub(crate) mod system_events;
pub(crate) mod tasks;
pub(crate) mod token_bindings;
pub(crate) mod token_bucket;
pub(crate) mod token_turns;
pub(crate) mod trace;
pub(crate) mod type_map;
pub(crate) mod verifier;
pub(crate) mod words;

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use switchboard_backplane::{
    Bus, Inbox, LocalBus, MemoryStore, OverflowRules, RateStore, Receiver, ReportSink, RevocationStore, Store,
};
use switchboard_event::{Payload, Protocol, Target};
use switchboard_hub::{FlushScheduler, Hub, HubConfig, HubEvent, HubLimits, Index, Session};
use switchboard_ws::close::{CloseCode, close_frame};

use crate::node::access::control::AccessControl;
use crate::node::access::grants::Lost;
use crate::node::calls::PendingCalls;
use crate::node::connection_state::ConnectionState;
use crate::node::drain::Drain;
use crate::node::encoders::FrameEncoders;
use crate::node::flow_control::windows::Windows;
use crate::node::history_settings::HistorySettings;
use crate::node::limits::Limits;
use crate::node::meters::Meters;
use crate::node::node_queries::state::NodeQueries;
use crate::node::overflowed_receivers::OverflowedReceivers;
use crate::node::rates::state::Rates;
use crate::node::refused_event::RefusedEvent;
use crate::node::replaceable::Replaceable;
use crate::node::resume::options::Resuming;
use crate::node::resume::seat::SentSeat;
use crate::node::resume::sessions::ResumableSessions;
use crate::node::revocations::state::Revocations;
use crate::node::stalls::Stalls;
use crate::node::system_events::{HookSink, HookTable, SystemEvent};
use crate::node::tasks::Tasks;
use crate::node::token_bindings::TokenBindings;
use crate::node::token_turns::TokenTurns;
use crate::node::trace::options::Tracing;
use crate::node::trace::tracer::Tracer;
use crate::node::type_map::TypeMap;

/// A running server.
pub(crate) struct Node {
    this: Weak<Node>,
    wiring: Wiring,
    settings: Mutex<Settings>,
    started: OnceLock<Started>,
    hooks: OnceLock<HookTable>,
    pub(crate) access: AccessControl,
    pub(crate) tasks: Tasks,
    pub(crate) token_bindings: TokenBindings,
    pub(crate) token_turns: TokenTurns,
    pub(crate) revocations: Revocations,
    pub(crate) rates: Rates,
    pub(crate) stalls: Stalls,
    pub(crate) overflowed: OverflowedReceivers,
    pub(crate) windows: Windows,
    pub(crate) calls: PendingCalls,
    pub(crate) queries: NodeQueries,
    /// Number of gaps so far in the publications of other nodes.
    pub(crate) gaps: AtomicU64,
    /// Set when the node begins to stop: new connections are refused.
    pub(crate) is_stopping: AtomicBool,
    pub(crate) drain: Drain,
    /// Milliseconds between two messages of a redelivery, by protocol.
    redelivery_intervals_ms: [AtomicU64; Protocol::COUNT],
}

/// Values that higher layers pass to a node.
pub(crate) struct Wiring {
    pub(crate) encoders: &'static FrameEncoders,
    pub(crate) flush_scheduler: Arc<dyn FlushScheduler>,
    /// Called for each event of the hub.
    pub(crate) on_hub_event: fn(&Arc<Node>, HubEvent),
    /// Called when the rights of a client may have changed, with the rooms and tags that it has left.
    pub(crate) on_rights_changed: fn(&Arc<Node>, &Arc<Session>, &[Target], Lost),
    /// Sends an event that the original protocol does not have to a client, if the client understands such events
    /// (`sb=1`). The protocol adds its prefix to the name, such as `@@SWITCHBOARD/`.
    pub(crate) notify_extension: fn(&Node, &Arc<Session>, &str, &Payload),
    /// Notifies a client of a refused event, if it understands that.
    pub(crate) notify_refused: fn(&Node, &Arc<Session>, &RefusedEvent<'_>),
    /// The seat of a session that moves to another node.
    pub(crate) seat: fn(&Session) -> Option<SentSeat>,
    /// State of higher layers, by type. Not related to `notify_extension`.
    pub(crate) extensions: TypeMap,
}

/// Settings that can change until the first use of the node.
#[derive(Clone, Default)]
pub(crate) struct Settings {
    pub(crate) limits: Limits,
    pub(crate) bus: Option<Arc<dyn Bus>>,
    pub(crate) store: Option<Arc<dyn Store>>,
    pub(crate) inbox: Option<Arc<dyn Inbox>>,
    pub(crate) history: HistorySettings,
    pub(crate) overflow_rules: OverflowRules,
    pub(crate) report_sink: Option<Arc<dyn ReportSink>>,
    pub(crate) revocation_store: Option<Arc<dyn RevocationStore>>,
    pub(crate) webhook_sink: Option<Arc<dyn ReportSink>>,
    pub(crate) rate_store: Option<Arc<dyn RateStore>>,
    /// Protocols whose clients are reported. `None` means all.
    pub(crate) reported_protocols: Option<Vec<Protocol>>,
    pub(crate) resuming: Option<Resuming>,
    pub(crate) tracing: Tracing,
}

/// State that is created at the first use, when the settings become final.
struct Started {
    limits: Replaceable<Limits>,
    hub: Arc<Hub>,
    meters: Meters,
    is_single_node: bool,
    has_shared_store: bool,
    inbox: Option<Arc<dyn Inbox>>,
    /// The report sink, and for each protocol whether its clients are reported.
    report_sink: Option<(Arc<dyn ReportSink>, [bool; Protocol::COUNT])>,
    revocation_store: Option<Arc<dyn RevocationStore>>,
    /// `None` if sessions end with their connections.
    resumable: Option<ResumableSessions>,
    webhook_sink: Option<Arc<dyn ReportSink>>,
    rate_store: Option<Arc<dyn RateStore>>,
    tracer: Arc<Tracer>,
}

impl Node {
    pub(crate) fn new(wiring: Wiring) -> Arc<Self> {
        Arc::new_cyclic(|this| Node {
            this: this.clone(),
            wiring,
            settings: Mutex::default(),
            started: OnceLock::new(),
            hooks: OnceLock::new(),
            access: AccessControl::default(),
            tasks: Tasks::default(),
            token_bindings: TokenBindings::default(),
            token_turns: TokenTurns::default(),
            revocations: Revocations::default(),
            rates: Rates::default(),
            stalls: Stalls::default(),
            overflowed: OverflowedReceivers::default(),
            windows: Windows::default(),
            calls: PendingCalls::default(),
            queries: NodeQueries::default(),
            gaps: AtomicU64::new(0),
            is_stopping: AtomicBool::new(false),
            drain: Drain::default(),
            redelivery_intervals_ms: Default::default(),
        })
    }

    /// Changes settings before the first use.
    ///
    /// # Panics
    /// If the node is in use.
    pub(crate) fn change_settings(&self, change: impl FnOnce(&mut Settings)) {
        assert!(self.started.get().is_none(), "an app that is in use cannot change its settings");
        change(&mut self.settings.lock().expect("no code that holds the settings panics"));
    }

    /// Returns the started state, and starts the node at the first call. Serving is not required,
    /// because some apps only send.
    fn started(&self) -> &Started {
        self.started.get_or_init(|| {
            let settings = self.settings.lock().expect("no code that holds the settings panics").clone();
            self.rates.set_rules(&settings.limits.rules, settings.limits.rule_keys_max);
            let started = Started::new(settings, &self.wiring, self.this.clone());
            if let Some(sessions) = &started.resumable {
                started.hub.store().keep_sessions(self.this.clone(), sessions.bounds());
            }
            let (this, on_hub_event) = (self.this.clone(), self.wiring.on_hub_event);
            started.hub.listen(Box::new(move |event| {
                if let Some(node) = this.upgrade() {
                    on_hub_event(&node, event);
                }
            }));
            started
        })
    }

    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.started().hub
    }

    /// The current limits. A reference does not change when they are replaced.
    pub(crate) fn limits(&self) -> &Limits {
        self.started().limits.get()
    }

    /// Replaces the limits, also while the node is in use.
    pub(crate) fn set_limits(&self, limits: Limits) {
        let Started { limits: current, hub, .. } = self.started();
        hub.set_limits(HubLimits {
            outbox_bytes_max: limits.outbox_bytes_max,
            memberships_max: limits.memberships_max,
            membership_bytes_max: limits.membership_bytes_max,
        });
        if current.get().rules != limits.rules || current.get().rule_keys_max != limits.rule_keys_max {
            self.rates.set_rules(&limits.rules, limits.rule_keys_max);
        }
        if *current.get() != limits {
            current.replace(limits);
        }
    }

    pub(crate) fn meters(&self) -> &Meters {
        &self.started().meters
    }

    /// Records what becomes of traced messages.
    pub(crate) fn tracer(&self) -> &Tracer {
        &self.started().tracer
    }

    pub(crate) fn inbox(&self) -> Option<&Arc<dyn Inbox>> {
        self.started().inbox.as_ref()
    }

    /// Where revoked tokens are stored; `None` if they are lost with the process.
    pub(crate) fn revocation_store(&self) -> Option<&Arc<dyn RevocationStore>> {
        self.started().revocation_store.as_ref()
    }

    /// Where nodes add up what they count for rate rules; `None` if this node counts alone.
    pub(crate) fn rate_store(&self) -> Option<&Arc<dyn RateStore>> {
        self.started().rate_store.as_ref()
    }

    /// The report sink, and for each protocol whether its clients are reported.
    pub(crate) fn report_sink(&self) -> Option<&(Arc<dyn ReportSink>, [bool; Protocol::COUNT])> {
        self.started().report_sink.as_ref()
    }

    /// The sessions that can be resumed; `None` if sessions end with their connections.
    pub(crate) fn resumable(&self) -> Option<&ResumableSessions> {
        self.started().resumable.as_ref()
    }

    /// The sink of reports to webhooks.
    pub(crate) fn webhook_sink(&self) -> Option<&Arc<dyn ReportSink>> {
        self.started().webhook_sink.as_ref()
    }

    /// Returns true if no bus is configured, so there are no other nodes.
    pub(crate) fn is_single_node(&self) -> bool {
        self.started().is_single_node
    }

    /// Returns true if a store is configured, which other nodes read as well.
    pub(crate) fn has_shared_store(&self) -> bool {
        self.started().has_shared_store
    }

    /// All sessions, without starting the node.
    pub(crate) fn sessions_if_started(&self) -> Vec<Arc<Session>> {
        self.started.get().map(|started| started.hub.index().all_sessions()).unwrap_or_default()
    }

    /// Lets the protocol of a client react to a change of its rights.
    pub(crate) fn rights_changed(&self, session: &Arc<Session>, left: &[Target], reason: Lost) {
        if let Some(this) = self.this.upgrade() {
            (self.wiring.on_rights_changed)(&this, session, left, reason);
        }
    }

    /// Sends an event that the original protocol does not have; see [`Wiring::notify_extension`].
    pub(crate) fn notify_extension(&self, session: &Arc<Session>, name: &str, data: &Payload) {
        (self.wiring.notify_extension)(self, session, name, data);
    }

    /// Notifies a client that its event was refused, if it understands that. Requests have a reply instead.
    pub(crate) fn notify_refused(&self, session: &Arc<Session>, refused: &RefusedEvent<'_>) {
        (self.wiring.notify_refused)(self, session, refused);
    }

    /// The seat of a session that moves to another node.
    pub(crate) fn seat_of(&self, session: &Session) -> Option<SentSeat> {
        (self.wiring.seat)(session)
    }

    pub(crate) fn encoders(&self) -> &'static FrameEncoders {
        self.wiring.encoders
    }

    /// State of a higher layer.
    pub(crate) fn extension<T: Any>(&self) -> &T {
        self.wiring.extensions.get().expect("App::new passes every extension to the node")
    }

    /// Sets the hook sink, if there is none yet.
    pub(crate) fn set_hooks(&self, hooks: HookTable) {
        let _ = self.hooks.set(hooks);
    }

    /// The hook sink, if an event has hooks.
    pub(crate) fn hooks(&self, event: SystemEvent) -> Option<Arc<dyn HookSink>> {
        self.hooks.get()?.sink(event)
    }

    /// Closes a connection after everything that is queued for it, or ends a detached session.
    pub(crate) fn close(&self, session: &Arc<Session>, code: CloseCode, reason: &str) {
        ConnectionState::of(session).record_close_code(code);
        self.hub().close(session, close_frame(code, reason));
        // After the close, because the session may become detached at any moment. One that becomes detached from here on,
        // or is attached again, finds the code.
        if let Some(sessions) = self.resumable() {
            sessions.close(session, code.0, reason);
        }
    }

    /// Waits until publications of every node to sockets of this node are delivered here.
    pub(crate) async fn settled(&self) {
        self.hub().bus().settled().await;
        // A send to many users is published to the nodes that the store returns for them.
        self.hub().store().settled().await;
    }

    /// The pause between two messages of a redelivery to a client of a protocol.
    pub(crate) fn redelivery_interval(&self, protocol: Protocol) -> Duration {
        Duration::from_millis(self.redelivery_intervals_ms[protocol.index()].load(Ordering::Relaxed))
    }

    /// The longest redelivery interval of all protocols.
    pub(crate) fn redelivery_interval_max(&self) -> Duration {
        let intervals = Protocol::ALL.map(|protocol| self.redelivery_interval(protocol));
        intervals.into_iter().max().unwrap_or_default()
    }

    pub(crate) fn set_redelivery_interval(&self, protocol: Protocol, interval: Duration) {
        // Rounded up, since zero means no pause.
        let ms = u64::try_from(interval.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        self.redelivery_intervals_ms[protocol.index()].store(ms, Ordering::Relaxed);
    }
}

impl Started {
    fn new(settings: Settings, wiring: &Wiring, this: Weak<Node>) -> Self {
        let Settings {
            limits,
            bus,
            store,
            inbox,
            history,
            overflow_rules,
            report_sink,
            revocation_store,
            webhook_sink,
            rate_store,
            reported_protocols,
            resuming,
            tracing,
        } = settings;
        let index = Arc::new(Index::default());
        let config = HubConfig {
            encode: wiring.encoders.event,
            flush_scheduler: wiring.flush_scheduler.clone(),
            overflow_frame: close_frame(CloseCode::TRY_AGAIN_LATER, "too slow: the outbox is full"),
            outbox_bytes_max: limits.outbox_bytes_max,
            memberships_max: limits.memberships_max,
            membership_bytes_max: limits.membership_bytes_max,
            history: history.into_room_history(bus.is_none()),
            overflow_rules,
        };
        let (is_single_node, has_shared_store) = (bus.is_none(), store.is_some());
        let bus = bus.unwrap_or_else(|| Arc::new(LocalBus::default()));
        let store = store.unwrap_or_else(|| Arc::new(MemoryStore::new(index.clone())));
        let hub = Hub::new(config, index, bus, store);
        let detached_for = move |session: &Session| this.upgrade()?.resumable()?.detached_for(session);
        let tracer = Arc::new(Tracer::new(tracing, Box::new(detached_for)));
        if tracing.is_on() {
            hub.trace_with(tracer.clone());
            hub.set_sampling(tracing.one_in > 0);
        }
        if let Some(inbox) = &inbox {
            let receiver: Weak<dyn Receiver> = Arc::downgrade(&(hub.clone() as Arc<dyn Receiver>));
            inbox.start(receiver);
        }
        let is_reported =
            |protocol| reported_protocols.as_ref().is_none_or(|protocols| protocols.contains(&protocol));
        let report_sink = report_sink.map(|sink| (sink, Protocol::ALL.map(is_reported)));
        let limits = Replaceable::new(limits);
        let resumable = resuming.and_then(ResumableSessions::new);
        let meters = Meters::new();
        Started {
            limits,
            hub,
            meters,
            is_single_node,
            has_shared_store,
            inbox,
            report_sink,
            revocation_store,
            webhook_sink,
            resumable,
            rate_store,
            tracer,
        }
    }
}
