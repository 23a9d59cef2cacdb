//! Settings of the listener for health checks and metrics.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::error::InvalidSetting;
use super::hosts::check_hosts;
use super::no_effect::NoEffect;

/// Settings of health checks and metrics.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Internal {
    /// Address of `/livez`, `/readyz` and `/metrics`; port 0 takes a free one. Default: the address of
    /// `listen`, together with the clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// Host names by which `internal.listen` may be called, such as `node-1.internal`, besides IP addresses and
    /// `localhost`. Other requests are refused with 403, because a page could send them (DNS rebinding). Default: none.
    pub hosts: Vec<String>,
}

impl Internal {
    pub(super) fn check(&self) -> Result<(), InvalidSetting> {
        check_hosts("internal.hosts", &self.hosts)
    }

    /// Settings without effect.
    pub(super) fn no_effect(&self) -> Option<NoEffect> {
        let reason = "internal.listen is not set, so health and metrics are served to clients";
        self.listen.is_none().then(|| NoEffect::of(&["internal.hosts"], reason))
    }
}
