//! The script of an original Dispatcher.

use std::sync::LazyLock;

use crate::connection::script::Script;

/// Stores a message and publishes it to original servers. A connection loads it before its first call: calls that
/// each had to load it first would lose their order.
pub(crate) static DISPATCH: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("dispatch.lua")));
