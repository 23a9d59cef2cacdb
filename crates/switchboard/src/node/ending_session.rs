//! A session with everything that its end needs, whether it ends with its connection or later.

use std::any::Any;
use std::sync::Arc;

use switchboard_hub::Session;

use crate::node::system_events::HookSink;

/// What a protocol keeps until the session ends; dropping it releases that.
pub(crate) type Guard = Box<dyn Any + Send>;

/// A session and what its end needs.
pub(crate) struct EndingSession {
    pub(crate) session: Arc<Session>,
    pub(crate) guard: Option<Guard>,
    pub(crate) hooks: Arc<dyn HookSink>,
}
