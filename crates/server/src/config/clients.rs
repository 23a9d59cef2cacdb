//! Settings of client connections, for all protocols.

use serde::{Deserialize, Serialize};

/// Settings of client connections.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Clients {
    /// Origins of the pages that may connect, such as `https://example.com`; a page of another origin is
    /// refused with 403. Programs send no origin and are not affected. Default: all origins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_origins: Option<Vec<String>>,
    /// Networks of trusted proxies, such as `10.0.0.0/8`. The server takes a client's address from their
    /// `x-forwarded-for`; from any other address the header is ignored. Default: none.
    pub trusted_proxies: Vec<ipnet::IpNet>,
}
