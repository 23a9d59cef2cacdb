//! What clients may do: the setting `access`, the rule that it makes of the rights of the projects, and the refusal to
//! let clients of other machines in by accident.

use std::collections::HashMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use switchboard::access::{AccessRequest, AccessRule, Rights};

use super::error::InvalidSetting;
use super::projects::Projects;

/// The rights of a client if its project has no setting for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Everything, unless its token has the claim `can`.
    Open,
    /// What the claim `can` of its token allows.
    Tokens,
}

/// The settings that decide which clients can connect, and their rights.
pub(super) struct Exposure<'a> {
    pub(super) access: Option<Access>,
    /// The addresses for clients, with their keys.
    pub(super) listeners: Vec<(&'static str, SocketAddr)>,
    pub(super) has_proxies: bool,
    /// There is a key that verifies tokens.
    pub(super) has_keys: bool,
    pub(super) projects: &'a Projects,
}

impl Exposure<'_> {
    /// The key of the setting by which clients of other machines can connect.
    fn exposed_by(&self) -> Option<&'static str> {
        let is_exposed = |address: &SocketAddr| !address.ip().to_canonical().is_loopback();
        let listener = self.listeners.iter().find(|(_, address)| is_exposed(address));
        listener.map(|(key, _)| *key).or(self.has_proxies.then_some("clients.trusted_proxies"))
    }

    /// The setting, or its default.
    pub(super) fn access(&self) -> Access {
        let default = if self.exposed_by().is_some() { Access::Tokens } else { Access::Open };
        self.access.unwrap_or(default)
    }

    /// Fails if clients of other machines can connect and no setting says what they may do, or if no client may do
    /// anything.
    pub(super) fn check(&self) -> Result<(), InvalidSetting> {
        if self.has_keys || self.projects.has_rights() || self.access == Some(Access::Open) {
            return Ok(());
        }
        let (key, problem) = match (self.access, self.exposed_by()) {
            (None, None) => return Ok(()),
            (None, Some(key)) => {
                (key, "clients of other machines can connect, and no setting says what they may do")
            }
            (Some(_), _) => {
                ("access", "there is no key that verifies a token, and no project has rights in `can`")
            }
        };
        Err(InvalidSetting::new(key, problem).with_hint(
            "let tokens decide:       auth.jwt_secret = \"…\"  (`openssl rand -hex 32` prints one)\n      \
             or let every client do everything:  access = \"open\"",
        ))
    }
}

/// The rule of all projects.
#[derive(Debug, PartialEq)]
pub(crate) struct ProjectRights {
    named: HashMap<String, Rights>,
    /// Of all other projects.
    every: Option<Rights>,
    access: Access,
}

impl ProjectRights {
    /// The rule; `None` if every client may do everything, apart from the claims of tokens.
    pub(super) fn new(projects: &Projects, access: Access) -> Option<Self> {
        let checked = "the settings were checked";
        let every = projects.every.rights().expect(checked);
        let own = projects.named.iter().map(|(id, settings)| (id, settings.rights().expect(checked)));
        let named: HashMap<_, _> = own.filter_map(|(id, rights)| Some((id.clone(), rights?))).collect();
        let is_needed = access == Access::Tokens || every.is_some() || !named.is_empty();
        is_needed.then_some(ProjectRights { named, every, access })
    }
}

impl AccessRule for ProjectRights {
    fn allows(&self, request: &AccessRequest<'_>) -> bool {
        let own = if self.named.is_empty() { None } else { self.named.get(request.project().as_str()) };
        match own.or(self.every.as_ref()) {
            Some(rights) => rights.allow(request.right(), request.resource()),
            None => self.access == Access::Open && request.claim().is_none(),
        }
    }
}
