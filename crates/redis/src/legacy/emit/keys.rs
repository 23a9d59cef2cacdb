//! The keys of original emit.gg nodes.

use switchboard_event::Target;

use crate::options::EmitBridge;

pub(super) struct EmitKeys {
    prefix: String,
    /// The hash of all users.
    pub(super) users: String,
}

impl EmitKeys {
    pub(super) fn new(bridge: &EmitBridge) -> Self {
        EmitKeys { prefix: bridge.prefix.clone(), users: format!("{}:users", bridge.prefix) }
    }

    /// The hash or set with the sockets of a target; for a user, the hash of all users.
    pub(super) fn of(&self, target: &Target) -> String {
        let prefix = &self.prefix;
        match target {
            Target::Everyone | Target::Socket(_) => format!("{prefix}:sockets"),
            Target::User(_) => self.users.clone(),
            Target::Room(name) => format!("{prefix}:room:{name}"),
            Target::Tag(name) => format!("{prefix}:tag:{name}"),
        }
    }
}
