//! What the page of `serve` is rendered for.

use super::address::Address;
use crate::config::Config;

/// A visitor of the page, and the settings that it describes.
pub(super) struct Visit<'a> {
    pub(super) config: &'a Config,
    pub(super) address: Address,
    /// The browser runs on the server's own machine, whose users may read the settings anyway.
    pub(super) is_local: bool,
}
