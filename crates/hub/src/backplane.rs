//! What makes many nodes one.

use std::sync::Arc;

use crate::{Bus, Store};

/// Carries sends between nodes and holds what they share.
pub trait Backplane {
    /// Carries sends.
    fn bus(&self) -> Arc<dyn Bus>;

    /// Holds what nodes share.
    fn store(&self) -> Arc<dyn Store>;
}
