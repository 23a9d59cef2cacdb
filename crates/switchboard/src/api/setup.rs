//! Values set on an app before it is served: the states of its handlers, and the extensions that
//! higher layers read when they serve it.

use std::any::Any;

use crate::node::type_map::TypeMap;

/// Values set on an app, as passed to [`FromRequest::check`](crate::FromRequest::check).
#[derive(Clone, Default)]
pub struct Setup {
    states: TypeMap,
    extensions: TypeMap,
}

impl Setup {
    /// The state of type `T`, if it is set.
    pub(crate) fn state<T: Any + Clone>(&self) -> Option<T> {
        self.states.get::<T>().cloned()
    }

    /// Returns true if a state of this type was replaced.
    pub(crate) fn set_state<T: Any + Send + Sync>(&mut self, state: T) -> bool {
        self.states.insert(state)
    }

    /// A value that a higher layer has set, such as a router or options.
    pub(crate) fn extension<T: Any>(&self) -> Option<&T> {
        self.extensions.get()
    }

    pub(crate) fn set<T: Any + Send + Sync>(&mut self, extension: T) {
        self.extensions.insert(extension);
    }

    pub(crate) fn take<T: Any + Send + Sync + Clone>(&mut self) -> Option<T> {
        self.extensions.take()
    }
}
