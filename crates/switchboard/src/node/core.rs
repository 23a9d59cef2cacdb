//! What all clones of an app share: its settings until it is in use, and from then on its hub.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use switchboard_backplane::{Bus, Inbox, LocalBus, MemoryStore, Receiver, ReportSink, Store};
use switchboard_event::Protocol;
use switchboard_hub::{Hub, HubConfig, Index};
use switchboard_ws::close::{CloseCode, close_frame};

use crate::net::flusher::Flushers;
use crate::net::heartbeat::Heartbeat;
use crate::net::throttle::Refusals;
use crate::node::identity::Identities;
use crate::node::limits::Limits;
use crate::node::meters::Meters;
use crate::node::remote::{self, Calls};
use crate::node::tasks::Tasks;
use crate::protocols::encode as codec;
use crate::protocols::koji::Rosters;
use crate::routing::hooks::Hooked;

/// What all clones of an app share.
#[derive(Default)]
pub(crate) struct Core {
    settings: Mutex<Settings>,
    running: OnceLock<Running>,
    pub(crate) tasks: Tasks,
    pub(crate) flushers: Arc<Flushers>,
    pub(crate) heartbeats: [Heartbeat; Protocol::COUNT],
    pub(crate) identities: Identities,
    pub(crate) refusals: Refusals,
    pub(crate) rosters: Rosters,
    pub(crate) calls: Calls,
    /// How often other nodes were not heard for a while.
    pub(crate) times_missed: AtomicU64,
    /// Set when the app is served.
    pub(crate) hooked: OnceLock<Hooked>,
    /// New connections are refused.
    pub(crate) stopping: AtomicBool,
}

/// What can be set until the app is in use.
#[derive(Clone, Default)]
pub(crate) struct Settings {
    pub(crate) limits: Limits,
    pub(crate) bus: Option<Arc<dyn Bus>>,
    pub(crate) store: Option<Arc<dyn Store>>,
    pub(crate) inbox: Option<Arc<dyn Inbox>>,
    pub(crate) portal: Option<Arc<dyn ReportSink>>,
    /// Of whose clients reports are made; none for all.
    pub(crate) reported: Option<Vec<Protocol>>,
}

/// What exists from the first use on, when the settings can change no more.
pub(crate) struct Running {
    pub(crate) limits: Limits,
    pub(crate) hub: Arc<Hub>,
    pub(crate) meters: Meters,
    /// No bus was given.
    pub(crate) alone: bool,
    /// A store was given.
    pub(crate) shares_store: bool,
    pub(crate) inbox: Option<Arc<dyn Inbox>>,
    /// Who gets reports, and by protocol of whose clients.
    pub(crate) portal: Option<(Arc<dyn ReportSink>, [bool; Protocol::COUNT])>,
}

impl Core {
    /// # Panics
    /// If the app is in use.
    pub(crate) fn change_settings(&self, change: impl FnOnce(&mut Settings)) {
        assert!(self.running.get().is_none(), "an app that is in use cannot change its settings");
        change(&mut self.settings.lock().expect("no code that holds the settings panics"));
    }

    /// Begins the use of the app, the first time.
    pub(crate) fn running(core: &Arc<Core>) -> &Running {
        core.running.get_or_init(|| {
            let settings = core.settings.lock().expect("no code that holds the settings panics").clone();
            let running = Running::new(settings, core.flushers.clone());
            // Not only when it is served: an app may be there just to ask others.
            running.hub.listen(remote::listener(Arc::downgrade(core)));
            running
        })
    }
}

impl Running {
    fn new(settings: Settings, flushers: Arc<Flushers>) -> Self {
        let Settings { limits, bus, store, inbox, portal, reported } = settings;
        let index = Arc::new(Index::default());
        let config = HubConfig {
            encode: codec::encode,
            schedule: flushers,
            overflow_frame: close_frame(CloseCode::TRY_AGAIN_LATER, "too slow: the outbox is full"),
            outbox_bytes_max: limits.outbox_bytes_max,
            memberships_max: limits.memberships_max,
        };
        let (alone, shares_store) = (bus.is_none(), store.is_some());
        let bus = bus.unwrap_or_else(|| Arc::new(LocalBus::default()));
        let store = store.unwrap_or_else(|| Arc::new(MemoryStore::new(index.clone())));
        let hub = Hub::new(config, index, bus, store);
        if let Some(inbox) = &inbox {
            let receiver: Weak<dyn Receiver> = Arc::downgrade(&(hub.clone() as Arc<dyn Receiver>));
            inbox.start(receiver);
        }
        let is_reported = |protocol| reported.as_ref().is_none_or(|doors| doors.contains(&protocol));
        let portal = portal.map(|portal| (portal, Protocol::ALL.map(is_reported)));
        Running { limits, hub, meters: Meters::new(), alone, shares_store, inbox, portal }
    }
}
