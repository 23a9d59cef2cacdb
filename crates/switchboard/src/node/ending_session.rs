//! A session with everything that its end needs, whether it ends with its connection or later.

use std::any::Any;
use std::sync::Arc;

use switchboard_hub::Session;

use crate::node::system_events::HookSink;

/// The protocol's resources of a session; dropping the value releases them.
pub(crate) type Guard = Box<dyn Any + Send>;

/// A session, with the values that its end needs.
pub(crate) struct EndingSession {
    pub(crate) session: Arc<Session>,
    pub(crate) guard: Option<Guard>,
    pub(crate) hooks: Arc<dyn HookSink>,
}
