//! System events, and the trait through which the node calls an application's hooks.
//!
//! The node does not depend on the application, which sets a [`HookSink`] when it is served. Before that,
//! and for events without hooks, a notification costs one load.

use std::sync::{Arc, Weak};

use serde_json::Value;
use switchboard_event::{Payload, ProjectId};
use switchboard_hub::Session;

/// Defines the enum of system events and a macro with the list of their names as a literal.
macro_rules! system_events {
    ($first:ident = $first_name:literal, $($event:ident = $name:literal,)*) => {
        /// An event of the framework that hooks can handle.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum SystemEvent {
            $first,
            $($event,)*
        }

        impl SystemEvent {
            pub(crate) const ALL: &[SystemEvent] = &[SystemEvent::$first, $(SystemEvent::$event,)*];

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
    Detached = "@detached",
    Resume = "@resume",
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
    pub(crate) const COUNT: usize = Self::ALL.len();

    /// Returns true for events that sending causes: a hook that sends would call itself.
    pub(crate) fn is_send_event(self) -> bool {
        matches!(self, SystemEvent::Sent | SystemEvent::Undeliverable)
    }
}

/// Calls the hooks of an application. Implemented by the served application.
pub(crate) trait HookSink: Send + Sync {
    /// Calls the hooks of the client's protocol.
    fn notify_client_event(&self, event: SystemEvent, session: &Arc<Session>, data: Payload);

    /// Calls the hooks of the client's protocol. `data` is called only if there are any.
    fn notify_session(&self, event: SystemEvent, session: &Arc<Session>, data: &dyn Fn() -> Value);

    /// Calls the hooks of all protocols, for an event that no client caused.
    fn notify_project_event(&self, event: SystemEvent, project: &ProjectId, data: Payload);
}

/// The hook sink of a node, and for each event whether it has hooks.
pub(crate) struct HookTable {
    sink: Weak<dyn HookSink>,
    has_hooks: [bool; SystemEvent::COUNT],
}

tokio::task_local! {
    /// Set while a hook for a send event runs. Messages that it sends cause no send events.
    pub(crate) static IN_SEND_HOOK: ();
}

impl HookTable {
    pub(crate) fn new(sink: Weak<dyn HookSink>, has_hooks: impl Fn(SystemEvent) -> bool) -> Self {
        let mut table = HookTable { sink, has_hooks: [false; SystemEvent::COUNT] };
        for event in SystemEvent::ALL {
            table.has_hooks[*event as usize] = has_hooks(*event);
        }
        table
    }

    /// The sink, if the event has hooks and does not come from a hook for send events.
    pub(crate) fn sink(&self, event: SystemEvent) -> Option<Arc<dyn HookSink>> {
        let calls_itself = || event.is_send_event() && IN_SEND_HOOK.try_with(|()| ()).is_ok();
        if !self.has_hooks[event as usize] || calls_itself() {
            return None;
        }
        self.sink.upgrade()
    }
}
