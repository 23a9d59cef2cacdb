//! System events: what there is to be told of beside what clients say, and who is told.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};

use futures_util::FutureExt;
use serde::Serialize;
use switchboard_event::{Event, Name, Payload, ProjectId, Protocol, Target, UserId};

use crate::api::app::App;
use crate::api::socket::Socket;
use crate::builder::Setup;
use crate::node::conn::{Peer, Through};
use crate::node::info::Info;
use crate::routing::handler::{AnyHandler, ResponseFuture};
use crate::routing::reply::Response;
use crate::routing::request::Request;
use crate::routing::server::{Panic, Served, panic_message, poll_once};

/// Writes down the system events, each with its name, and the list of the names as a literal.
macro_rules! system_events {
    ($first:ident = $first_name:literal, $($event:ident = $name:literal,)*) => {
        /// What hooks can be told of.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum SystemEvent {
            $first,
            $($event,)*
        }

        impl SystemEvent {
            const ALL: &[SystemEvent] = &[SystemEvent::$first, $(SystemEvent::$event,)*];

            pub(crate) fn name(self) -> &'static str {
                match self {
                    SystemEvent::$first => $first_name,
                    $(SystemEvent::$event => $name,)*
                }
            }
        }

        macro_rules! system_event_names {
            () => { concat!("`", $first_name, "`" $(, ", `", $name, "`")*) };
        }
        pub(crate) use system_event_names;
    };
}

system_events! {
    Connection = "@connection",
    Disconnect = "@disconnect",
    Authenticated = "@authenticated",
    Error = "@error",
    Any = "@any",
    Sent = "@sent",
    Undeliverable = "@undeliverable",
    Redelivered = "@redelivered",
    Ping = "@ping",
    PortalJoin = "@portal-join",
    PortalLeave = "@portal-leave",
}

impl SystemEvent {
    const COUNT: usize = Self::ALL.len();

    /// Whether it is about what the app sends, so that a hook that sends would call itself.
    fn is_about_sends(self) -> bool {
        matches!(self, SystemEvent::Sent | SystemEvent::Undeliverable)
    }
}

/// Handlers of system events: any number for each, called in the order they were added.
#[derive(Clone, Default)]
pub(crate) struct Hooks([Vec<AnyHandler>; SystemEvent::COUNT]);

impl Hooks {
    /// # Panics
    /// If there is no system event of that name.
    pub(crate) fn add(&mut self, name: &str, hook: AnyHandler) {
        let event = SystemEvent::ALL.iter().find(|event| event.name() == name).unwrap_or_else(|| {
            panic!("`{name}` is not a system event; these are {}", system_event_names!());
        });
        self.0[*event as usize].push(hook);
    }

    pub(crate) fn of(&self, event: SystemEvent) -> &[AnyHandler] {
        &self.0[event as usize]
    }

    pub(crate) fn extend(&mut self, other: Hooks) {
        for (hooks, more) in self.0.iter_mut().zip(other.0) {
            hooks.extend(more);
        }
    }

    pub(crate) fn check(&self, setup: &Setup) -> Result<(), String> {
        for event in SystemEvent::ALL {
            for hook in self.of(*event) {
                hook.check(setup).map_err(|missing| format!("a hook of `{}` {missing}", event.name()))?;
            }
        }
        Ok(())
    }
}

/// The app as it is served, for who knows only what all its clones share.
pub(crate) struct Hooked {
    served: Weak<Served>,
    /// Whether any door has hooks for an event.
    has: [bool; SystemEvent::COUNT],
}

impl Hooked {
    pub(crate) fn new(served: &Arc<Served>) -> Self {
        let mut has = [false; SystemEvent::COUNT];
        for event in SystemEvent::ALL {
            has[*event as usize] =
                Protocol::ALL.iter().any(|protocol| !served.hooks_of(*protocol).of(*event).is_empty());
        }
        Hooked { served: Arc::downgrade(served), has }
    }
}

tokio::task_local! {
    /// Set in hooks of what is sent: what these send is not told of.
    static IN_HOOK_OF_SENDS: ();
}

impl App {
    /// The app as it is served, if it has hooks for an event.
    fn hooked(&self, event: SystemEvent) -> Option<Arc<Served>> {
        let hooked = self.core().hooked.get()?;
        if !hooked.has[event as usize] || event.is_about_sends() && IN_HOOK_OF_SENDS.try_with(|()| ()).is_ok()
        {
            return None;
        }
        hooked.served.upgrade()
    }

    /// Calls the `@sent` hooks, if there are any.
    pub(crate) fn tell_sent(&self, event: &Event, to: &[Target], except: &[Target], kept: bool) {
        if let Some(served) = self.hooked(SystemEvent::Sent) {
            let texts = |targets: &[Target]| targets.iter().map(Target::to_string).collect();
            let (Event { name, data, .. }, to, except) = (event, texts(to), texts(except));
            served.tell(SystemEvent::Sent, self.project_id(), &Sent { event: name, data, to, except, kept });
        }
    }

    /// Looks who of some users is nowhere, and calls the `@undeliverable` hooks for each; if there are
    /// any, since that is a question for each user who is not here.
    pub(crate) fn tell_undeliverable(&self, event: Event, users: Vec<UserId>) {
        let Some(served) = self.hooked(SystemEvent::Undeliverable) else { return };
        let (app, Event { name, data, .. }) = (self.clone(), event);
        self.core().tasks.spawn(async move {
            for user in &users {
                // The store may learn of those who are here later than we do.
                let here = Target::User(user.clone()).into();
                if !app.hub().members(app.project_id(), &here).is_empty() {
                    continue;
                }
                match app.is_user_online(user).await {
                    Ok(true) => {}
                    Ok(false) => {
                        let data = Undeliverable { user, event: &name, data: &data };
                        served.tell(SystemEvent::Undeliverable, app.project_id(), &data);
                    }
                    Err(error) => tracing::warn!(%error, "it is not known whether a user hears a message"),
                }
            }
        });
    }
}

/// What `@sent` hooks are told.
#[derive(Serialize)]
struct Sent<'a> {
    event: &'a Name,
    data: &'a Payload,
    to: Vec<String>,
    except: Vec<String>,
    kept: bool,
}

/// What `@undeliverable` hooks are told.
#[derive(Serialize)]
struct Undeliverable<'a> {
    user: &'a UserId,
    event: &'a Name,
    data: &'a Payload,
}

impl Socket {
    /// Calls the hooks that its door has for an event, if any.
    pub(crate) fn tell<T: Serialize>(&self, event: SystemEvent, data: &T) {
        if let Some(served) = self.app().hooked(event) {
            // This handle may be of an order of another node, and know of no handlers and states.
            let socket = Socket::new(&served.app, self.session().clone());
            served.call_hooks(event, &socket, data);
        }
    }
}

impl Served {
    /// Calls the hooks of all doors for what no socket did. Hooks have a socket, and theirs is
    /// nobody's.
    pub(crate) fn tell<T: Serialize>(&self, event: SystemEvent, project: &ProjectId, data: &T) {
        let peer = Peer::new(Info::of_nobody(), Through::Emit);
        let session = self.app.hub().placeholder_session(project, Protocol::Emit, Box::new(peer));
        let nobody = Socket::new(&self.app, session);
        for protocol in Protocol::ALL {
            self.call(self.hooks_of(protocol).of(event), event, &nobody, data);
        }
    }

    /// Calls the hooks of a socket's door.
    pub(crate) fn call_hooks<T: Serialize>(&self, event: SystemEvent, socket: &Socket, data: &T) {
        self.call(self.hooks_of(socket.session().protocol).of(event), event, socket, data);
    }

    /// Starts hooks in their order. A hook that fails is logged and reported to nobody, or an error
    /// hook would call itself.
    fn call<T: Serialize>(&self, hooks: &[AnyHandler], event: SystemEvent, socket: &Socket, data: &T) {
        if hooks.is_empty() {
            return;
        }
        let data = Payload::of(data).expect("texts, numbers and payloads are JSON");
        let name = Name::new(event.name()).expect("system events have short names");
        let request = Request::new(socket.clone(), name, data, None);
        for hook in hooks {
            let mut future = match catch_unwind(AssertUnwindSafe(|| start(hook, event, request.clone()))) {
                Ok(future) => future,
                Err(panic) => {
                    log_hook(event, Err(panic));
                    continue;
                }
            };
            match poll_once(&mut future) {
                Some(outcome) => log_hook(event, outcome),
                None => self.app.core().tasks.spawn(async move {
                    log_hook(event, AssertUnwindSafe(future).catch_unwind().await);
                }),
            }
        }
    }
}

fn start(hook: &AnyHandler, event: SystemEvent, request: Request) -> ResponseFuture {
    if !event.is_about_sends() {
        return hook.call(request);
    }
    let future = IN_HOOK_OF_SENDS.sync_scope((), || hook.call(request));
    Box::pin(IN_HOOK_OF_SENDS.scope((), future))
}

fn log_hook(event: SystemEvent, outcome: Result<Response, Panic>) {
    match outcome {
        Ok(Response { error: Some(error), .. }) => {
            tracing::error!(event = event.name(), %error, "a hook failed")
        }
        Ok(_) => {}
        Err(panic) => {
            tracing::error!(event = event.name(), message = panic_message(&*panic), "a hook panicked")
        }
    }
}
