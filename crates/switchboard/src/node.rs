//! What a running server is, and what it does with connections whatever protocol they speak.
//!
//! [`Node`] is what all clones of an app share. It takes its settings until its first use, and
//! from then on it has a hub. It knows neither applications nor protocols: the floors above hand it
//! a [`Wiring`] when they make it, and keep state of their own with it and with each
//! [`Conn`](conn::Conn).

pub(crate) mod calls;
pub(crate) mod clock;
pub(crate) mod codec;
pub(crate) mod conn;
pub(crate) mod errors;
pub(crate) mod identity;
pub(crate) mod inbox;
pub(crate) mod incoming;
pub(crate) mod info;
pub(crate) mod limits;
pub(crate) mod membership;
pub(crate) mod message;
pub(crate) mod meters;
pub(crate) mod rate;
pub(crate) mod remote;
pub(crate) mod reports;
pub(crate) mod requests;
pub(crate) mod send_hooks;
pub(crate) mod system_events;
pub(crate) mod tasks;
pub(crate) mod token_bindings;
pub(crate) mod type_map;

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use switchboard_backplane::{Bus, Inbox, LocalBus, MemoryStore, Receiver, ReportSink, Store};
use switchboard_event::Protocol;
use switchboard_hub::{Hub, HubConfig, HubEvent, Index, Schedule, Session};
use switchboard_ws::close::{CloseCode, close_frame};

use crate::node::calls::Calls;
use crate::node::codec::Codec;
use crate::node::conn::Conn;
use crate::node::limits::Limits;
use crate::node::meters::Meters;
use crate::node::rate::RefusedTokens;
use crate::node::system_events::{HookSink, HookTable, SystemEvent};
use crate::node::tasks::Tasks;
use crate::node::token_bindings::Identities;
use crate::node::type_map::TypeMap;

/// What all clones of an app share.
pub(crate) struct Node {
    this: Weak<Node>,
    wiring: Wiring,
    settings: Mutex<Settings>,
    started: OnceLock<Started>,
    hooks: OnceLock<HookTable>,
    pub(crate) tasks: Tasks,
    pub(crate) identities: Identities,
    pub(crate) refused_tokens: RefusedTokens,
    pub(crate) calls: Calls,
    /// How often the subscriber to other nodes' publications had a gap.
    pub(crate) gaps: AtomicU64,
    /// Set when the node begins to stop: new connections are refused.
    pub(crate) is_stopping: AtomicBool,
    /// By protocol: milliseconds between two messages of a redelivery.
    redelivery_intervals_ms: [AtomicU64; Protocol::COUNT],
}

/// What the floors above hand to a node.
pub(crate) struct Wiring {
    pub(crate) codec: &'static Codec,
    pub(crate) schedule: Arc<dyn Schedule>,
    /// Receives the hub's events.
    pub(crate) on_hub_event: fn(&Arc<Node>, HubEvent),
    /// State that the floors above keep with the node.
    pub(crate) extensions: TypeMap,
}

/// What can be set until the node is in use.
#[derive(Clone, Default)]
pub(crate) struct Settings {
    pub(crate) limits: Limits,
    pub(crate) bus: Option<Arc<dyn Bus>>,
    pub(crate) store: Option<Arc<dyn Store>>,
    pub(crate) inbox: Option<Arc<dyn Inbox>>,
    pub(crate) report_sink: Option<Arc<dyn ReportSink>>,
    /// The protocols whose clients are reported; `None` for all.
    pub(crate) reported: Option<Vec<Protocol>>,
}

/// What exists from the first use on, when the settings are final.
struct Started {
    limits: Limits,
    hub: Arc<Hub>,
    meters: Meters,
    is_single_node: bool,
    has_shared_store: bool,
    inbox: Option<Arc<dyn Inbox>>,
    report_sink: Option<(Arc<dyn ReportSink>, [bool; Protocol::COUNT])>,
}

impl Node {
    pub(crate) fn new(wiring: Wiring) -> Arc<Self> {
        Arc::new_cyclic(|this| Node {
            this: this.clone(),
            wiring,
            settings: Mutex::default(),
            started: OnceLock::new(),
            hooks: OnceLock::new(),
            tasks: Tasks::default(),
            identities: Identities::default(),
            refused_tokens: RefusedTokens::default(),
            calls: Calls::default(),
            gaps: AtomicU64::new(0),
            is_stopping: AtomicBool::new(false),
            redelivery_intervals_ms: Default::default(),
        })
    }

    /// # Panics
    /// If the node is in use.
    pub(crate) fn change_settings(&self, change: impl FnOnce(&mut Settings)) {
        assert!(self.started.get().is_none(), "an app that is in use cannot change its settings");
        change(&mut self.settings.lock().expect("no code that holds the settings panics"));
    }

    /// Starts the node at its first use: not only when it is served, since an app may be there just
    /// to send.
    fn started(&self) -> &Started {
        self.started.get_or_init(|| {
            let settings = self.settings.lock().expect("no code that holds the settings panics").clone();
            let started = Started::new(settings, &self.wiring);
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

    pub(crate) fn limits(&self) -> &Limits {
        &self.started().limits
    }

    pub(crate) fn meters(&self) -> &Meters {
        &self.started().meters
    }

    pub(crate) fn inbox(&self) -> Option<&Arc<dyn Inbox>> {
        self.started().inbox.as_ref()
    }

    /// The report sink, and by protocol whether it gets reports of the clients.
    pub(crate) fn report_sink(&self) -> Option<&(Arc<dyn ReportSink>, [bool; Protocol::COUNT])> {
        self.started().report_sink.as_ref()
    }

    /// Whether there can be no other node: no bus was given.
    pub(crate) fn is_single_node(&self) -> bool {
        self.started().is_single_node
    }

    /// Whether other nodes read the store: one was given.
    pub(crate) fn has_shared_store(&self) -> bool {
        self.started().has_shared_store
    }

    pub(crate) fn codec(&self) -> &'static Codec {
        self.wiring.codec
    }

    /// State that a floor above keeps with the node.
    pub(crate) fn extension<T: Any>(&self) -> &T {
        self.wiring.extensions.get().expect("whoever makes a node hands it every part")
    }

    /// Sets the hook sink, if there is none yet.
    pub(crate) fn set_hooks(&self, hooks: HookTable) {
        let _ = self.hooks.set(hooks);
    }

    /// The hook sink, if an event has hooks.
    pub(crate) fn hooks(&self, event: SystemEvent) -> Option<Arc<dyn HookSink>> {
        self.hooks.get()?.sink(event)
    }

    /// Closes a connection behind everything that is queued for it.
    pub(crate) fn close(&self, session: &Arc<Session>, code: CloseCode, reason: &str) {
        Conn::of(session).closed_by_us(code);
        self.hub().close(session, close_frame(code, reason));
    }

    /// Waits until publications to sockets of this node reach it from every node.
    pub(crate) async fn settled(&self) {
        self.hub().bus().settled().await;
        // Large sends to users go where the store says they are.
        self.hub().store().settled().await;
    }

    /// The pause between two messages of a redelivery to a client of a protocol.
    pub(crate) fn redelivery_interval(&self, protocol: Protocol) -> Duration {
        Duration::from_millis(self.redelivery_intervals_ms[protocol.index()].load(Ordering::Relaxed))
    }

    /// The longest of these pauses.
    pub(crate) fn redelivery_interval_max(&self) -> Duration {
        let intervals = Protocol::ALL.map(|protocol| self.redelivery_interval(protocol));
        intervals.into_iter().max().unwrap_or_default()
    }

    pub(crate) fn set_redelivery_interval(&self, protocol: Protocol, interval: Duration) {
        let ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
        self.redelivery_intervals_ms[protocol.index()].store(ms, Ordering::Relaxed);
    }
}

impl Started {
    fn new(settings: Settings, wiring: &Wiring) -> Self {
        let Settings { limits, bus, store, inbox, report_sink, reported } = settings;
        let index = Arc::new(Index::default());
        let config = HubConfig {
            encode: wiring.codec.event,
            schedule: wiring.schedule.clone(),
            overflow_frame: close_frame(CloseCode::TRY_AGAIN_LATER, "too slow: the outbox is full"),
            outbox_bytes_max: limits.outbox_bytes_max,
            memberships_max: limits.memberships_max,
        };
        let (is_single_node, has_shared_store) = (bus.is_none(), store.is_some());
        let bus = bus.unwrap_or_else(|| Arc::new(LocalBus::default()));
        let store = store.unwrap_or_else(|| Arc::new(MemoryStore::new(index.clone())));
        let hub = Hub::new(config, index, bus, store);
        if let Some(inbox) = &inbox {
            let receiver: Weak<dyn Receiver> = Arc::downgrade(&(hub.clone() as Arc<dyn Receiver>));
            inbox.start(receiver);
        }
        let is_reported = |protocol| reported.as_ref().is_none_or(|protocols| protocols.contains(&protocol));
        let report_sink = report_sink.map(|sink| (sink, Protocol::ALL.map(is_reported)));
        Started { limits, hub, meters: Meters::new(), is_single_node, has_shared_store, inbox, report_sink }
    }
}
