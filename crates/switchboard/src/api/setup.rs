//! What an app was given before it is served: the states of its handlers, and the parts that the
//! floors above read when they serve it.

use std::any::Any;

use crate::node::type_map::TypeMap;

/// What an app was given, as [`FromRequest::check`](crate::FromRequest::check) sees it.
#[derive(Clone, Default)]
pub struct Setup {
    states: TypeMap,
    parts: TypeMap,
}

impl Setup {
    /// The state of type `T`, if the app was given one.
    pub(crate) fn state<T: Any + Clone>(&self) -> Option<T> {
        self.states.get::<T>().cloned()
    }

    /// Returns true if a state of this type was replaced.
    pub(crate) fn set_state<T: Any + Send + Sync>(&mut self, state: T) -> bool {
        self.states.insert(state)
    }

    /// What a floor above has set: its router, its options.
    pub(crate) fn part<T: Any>(&self) -> Option<&T> {
        self.parts.get()
    }

    pub(crate) fn set<T: Any + Send + Sync>(&mut self, part: T) {
        self.parts.insert(part);
    }

    pub(crate) fn take<T: Any + Send + Sync + Clone>(&mut self) -> Option<T> {
        self.parts.take()
    }
}
