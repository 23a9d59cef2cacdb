//! Settings of emit.gg: the bridge to original nodes.

use serde::{Deserialize, Serialize};
use switchboard::Name;
use switchboard_redis::Bridge;

use super::{ConfigError, Projects};

/// Settings of emit.gg.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Emit {
    /// Whether original emit.gg nodes on the same Redis and the project of emit clients hear one
    /// another. Default false.
    pub bridge: bool,
    /// What the originals' keys begin with: `prefix` of their Redis adapter. Default `emit.gg`.
    pub bridge_prefix: String,
    /// Where the originals speak: `channel` of their Redis adapter. Default `emit.gg`.
    pub bridge_channel: String,
}

impl Default for Emit {
    fn default() -> Self {
        let Bridge { prefix, channel, .. } = Bridge::default();
        Emit { bridge: false, bridge_prefix: prefix, bridge_channel: channel }
    }
}

impl Emit {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        for (key, name) in [("bridge_prefix", &self.bridge_prefix), ("bridge_channel", &self.bridge_channel)]
        {
            if name.is_empty() {
                return Err(ConfigError::Value(format!("emit.{key} is empty")));
            }
        }
        Ok(())
    }

    /// The bridge, for the options of Redis; `None` if it is off.
    pub fn bridge(&self, projects: &Projects) -> Option<Bridge> {
        self.bridge.then(|| Bridge {
            prefix: self.bridge_prefix.clone(),
            channel: self.bridge_channel.clone(),
            project: Name::new(&projects.default).expect("the settings were checked"),
            ..Bridge::default()
        })
    }
}
