//! The app: what is built, what is served, and what handlers and the rest of a program send with.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};

use serde::Serialize;
use switchboard_event::{Dialect, IntoAudience, Name, ProjectId, SocketId, Target};
use switchboard_hub::{Bus, Hub, HubConfig, Index, LocalBus, MemoryStore, Store};
use switchboard_ws::close::{CloseCode, close_frame};
use switchboard_ws::frame::OpCode;

use crate::codec;
use crate::door::DoorSettings;
use crate::handler::Handler;
use crate::identity::{Identities, Verifier};
use crate::koji::{Koji, Rosters};
use crate::limits::Limits;
use crate::meters::Meters;
use crate::middleware::Middleware;
use crate::net::flusher::Flushers;
use crate::net::heartbeat::Heartbeat;
use crate::plugin::Plugin;
use crate::router::Router;
use crate::send::{EmitError, Send};
use crate::socket::Socket;
use crate::tasks::Tasks;

/// A real-time application: handlers by event name, and everyone who is connected.
///
/// Build it, [`serve`](crate::serve) it, and keep a clone to send with: clones are cheap and share
/// their sockets.
///
/// ```no_run
/// use switchboard::{App, Data, Reply, Socket, serve};
///
/// async fn say(socket: Socket, Data(text): Data<String>) -> Result<Reply<usize>, switchboard::ReplyError> {
///     Ok(Reply(socket.to("#lobby").emit("said", &text)?))
/// }
///
/// # async fn example() -> std::io::Result<()> {
/// let app = App::new().on("/say", say);
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
/// serve(listener, app).await
/// # }
/// ```
#[derive(Clone)]
pub struct App {
    setup: Arc<Setup>,
    core: Arc<Core>,
    project: ProjectId,
}

/// What an app is told before it is served.
#[derive(Clone, Default)]
pub struct Setup {
    pub(crate) router: Router,
    states: HashMap<TypeId, Arc<dyn Any + std::marker::Send + Sync>>,
    pub(crate) door: DoorSettings,
    pub(crate) http: Option<axum::Router>,
    pub(crate) raw: Option<RawHandler>,
    pub(crate) koji: Option<Koji>,
    pub(crate) verifier: Option<Arc<dyn Verifier>>,
}

/// Takes whole messages as they came, instead of a dialect.
type RawHandler = fn(&Socket, OpCode, &[u8]);

impl Setup {
    pub(crate) fn state<T: Clone + 'static>(&self) -> Option<T> {
        self.states.get(&TypeId::of::<T>())?.downcast_ref::<T>().cloned()
    }
}

/// What all clones of an app share.
pub(crate) struct Core {
    settings: Mutex<Settings>,
    running: OnceLock<Running>,
    pub(crate) tasks: Tasks,
    pub(crate) flushers: Arc<Flushers>,
    pub(crate) heartbeats: [Heartbeat; Dialect::COUNT],
    pub(crate) identities: Identities,
    pub(crate) rosters: Rosters,
    /// New connections are refused.
    pub(crate) stopping: AtomicBool,
}

#[derive(Clone)]
struct Settings {
    limits: Limits,
    bus: Option<Arc<dyn Bus>>,
    store: Option<Arc<dyn Store>>,
}

/// What exists from the first use on, when the settings can change no more.
struct Running {
    limits: Limits,
    hub: Arc<Hub>,
    meters: Meters,
}

impl Default for App {
    fn default() -> Self {
        App::new()
    }
}

impl App {
    /// An app without handlers, for the project `default`.
    pub fn new() -> Self {
        App {
            setup: Arc::default(),
            core: Arc::new(Core {
                settings: Mutex::new(Settings { limits: Limits::default(), bus: None, store: None }),
                running: OnceLock::new(),
                tasks: Tasks::default(),
                flushers: Arc::default(),
                heartbeats: Default::default(),
                identities: Identities::default(),
                rosters: Rosters::default(),
                stopping: AtomicBool::new(false),
            }),
            project: Name::new("default").expect("the name is neither empty nor long"),
        }
    }

    fn change(mut self, change: impl FnOnce(&mut Setup)) -> Self {
        change(Arc::make_mut(&mut self.setup));
        self
    }

    fn route(self, add: impl FnOnce(Router) -> Router) -> Self {
        self.change(|setup| setup.router = add(std::mem::take(&mut setup.router)))
    }

    /// Handles an event, or a system event; see [`Router::on`].
    pub fn on<Args: 'static>(self, event: &str, handler: impl Handler<Args>) -> Self {
        self.route(|router| router.on(event, handler))
    }

    /// Puts a middleware around every handler; see [`Router::middleware`].
    pub fn middleware(self, middleware: impl Middleware) -> Self {
        self.route(|router| router.middleware(middleware))
    }

    /// Takes over a router under a prefix; see [`Router::nest`].
    pub fn nest(self, prefix: &str, router: Router) -> Self {
        self.route(|own| own.nest(prefix, router))
    }

    /// Takes over a router as it is; see [`Router::merge`].
    pub fn merge(self, router: Router) -> Self {
        self.route(|own| own.merge(router))
    }

    /// Builds a namespace in place; see [`Router::ns`].
    pub fn ns(self, prefix: &str, build: impl FnOnce(Router) -> Router) -> Self {
        self.route(|router| router.ns(prefix, build))
    }

    /// Adds a plugin, or several.
    pub fn plugin(self, plugin: impl Plugin) -> Self {
        plugin.install(self)
    }

    /// Gives handlers a value to take with [`State`](crate::State); one of each type.
    ///
    /// # Panics
    /// If the app has one of this type already.
    pub fn with_state<T: Clone + std::marker::Send + Sync + 'static>(self, state: T) -> Self {
        self.change(|setup| {
            let before = setup.states.insert(TypeId::of::<T>(), Arc::new(state));
            assert!(before.is_none(), "the app was given two states of type {}", type_name::<T>());
        })
    }

    /// Answers plain HTTP on the same port: what is no WebSocket handshake goes to this router,
    /// with whatever tower layers it has.
    pub fn with_http(self, router: axum::Router) -> Self {
        self.change(|setup| setup.http = Some(router))
    }

    /// Takes every message as it comes, instead of a dialect: for conformance suites.
    #[doc(hidden)]
    pub fn with_raw_messages(self, raw: fn(&Socket, OpCode, &[u8])) -> Self {
        self.change(|setup| setup.raw = Some(raw))
    }

    /// Opens the door for Koji clients: pages without a backend, put on shards.
    pub fn with_koji(self, koji: Koji) -> Self {
        self.change(|setup| setup.koji = Some(koji))
    }

    /// Sets who decides whom a token names. Default none: every token is refused.
    pub fn with_verifier(self, verifier: impl Verifier) -> Self {
        self.change(|setup| setup.verifier = Some(Arc::new(verifier)))
    }

    /// Who may open a WebSocket: origins, proxies that are believed, the project.
    pub fn with_door(self, door: DoorSettings) -> Self {
        self.change(|setup| setup.door = door)
    }

    /// Sets the bounds.
    ///
    /// # Panics
    /// If the app is in use already; so do [`with_bus`](Self::with_bus) and
    /// [`with_store`](Self::with_store).
    pub fn with_limits(self, limits: Limits) -> Self {
        self.settings(|settings| settings.limits = limits.in_force());
        self
    }

    /// Sets what carries sends to other nodes. Default: nothing, the app is alone.
    pub fn with_bus(self, bus: Arc<dyn Bus>) -> Self {
        self.settings(|settings| settings.bus = Some(bus));
        self
    }

    /// Sets what knows of the sockets of all nodes. Default: this node's own memory.
    pub fn with_store(self, store: Arc<dyn Store>) -> Self {
        self.settings(|settings| settings.store = Some(store));
        self
    }

    fn settings(&self, change: impl FnOnce(&mut Settings)) {
        assert!(self.core.running.get().is_none(), "an app that is in use cannot change its settings");
        change(&mut self.core.settings.lock().expect("no code that holds the settings panics"));
    }

    fn running(&self) -> &Running {
        self.core.running.get_or_init(|| {
            let Settings { limits, bus, store } =
                self.core.settings.lock().expect("no code that holds the settings panics").clone();
            let index = Arc::new(Index::default());
            let config = HubConfig {
                encode: codec::encode,
                schedule: self.core.flushers.clone(),
                overflow_frame: close_frame(CloseCode::TRY_AGAIN_LATER, "too slow: the outbox is full"),
                outbox_bytes_max: limits.outbox_bytes_max,
                memberships_max: limits.memberships_max,
            };
            let bus = bus.unwrap_or_else(|| Arc::new(LocalBus::default()));
            let store = store.unwrap_or_else(|| Arc::new(MemoryStore::new(index.clone())));
            Running { limits, hub: Hub::new(config, index, bus, store), meters: Meters::new() }
        })
    }

    pub(crate) fn setup(&self) -> &Setup {
        &self.setup
    }

    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    pub(crate) fn meters(&self) -> &Meters {
        &self.running().meters
    }

    /// The bounds in force.
    pub fn limits(&self) -> &Limits {
        &self.running().limits
    }

    /// Who is here: the core that everything above is made of.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.running().hub
    }

    /// The value given with [`with_state`](Self::with_state).
    pub fn state<T: Clone + 'static>(&self) -> Option<T> {
        self.setup.state()
    }

    /// Whether the app is stopping: new connections are refused.
    pub fn is_stopping(&self) -> bool {
        self.core.stopping.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// The same app, seen from a project: sends and questions stay in it.
    pub fn project(&self, project: &ProjectId) -> App {
        App { setup: self.setup.clone(), core: self.core.clone(), project: project.clone() }
    }

    /// The project that sends and questions are about.
    pub fn project_id(&self) -> &ProjectId {
        &self.project
    }

    /// Sends to everyone. Returns how many sockets of this node have it queued.
    pub fn broadcast<T: Serialize + ?Sized>(&self, event: &str, data: &T) -> Result<usize, EmitError> {
        self.to(Target::Everyone).emit(event, data)
    }

    /// Begins a send to a room, a tag or any audience.
    pub fn to(&self, audience: impl IntoAudience) -> Send {
        Send::new(self.clone(), audience, None)
    }

    /// Sends to one socket, wherever it is; nothing happens if there is none. Returns 1 if it is
    /// on this node.
    pub fn emit_to<T: Serialize + ?Sized>(
        &self,
        id: SocketId,
        event: &str,
        data: &T,
    ) -> Result<usize, EmitError> {
        self.to(id).emit(event, data)
    }

    /// Sends to all sockets of a user. Returns how many of this node have it queued.
    pub fn emit_to_user<T: Serialize + ?Sized>(
        &self,
        user: &str,
        event: &str,
        data: &T,
    ) -> Result<usize, EmitError> {
        self.to(Target::user(user)?).emit(event, data)
    }

    /// The socket with that id, if it is on this node and in this project.
    pub fn socket(&self, id: SocketId) -> Option<Socket> {
        let session = self.hub().index().session(id)?;
        (session.project.id == self.project).then(|| Socket::new(self, session))
    }
}
