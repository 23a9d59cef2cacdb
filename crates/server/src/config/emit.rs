//! Settings of emit.gg: the bridge to original nodes, and whether clients are reported.

use serde::{Deserialize, Serialize};
use switchboard::ProjectId;
use switchboard_redis::EmitBridge;

use super::redis::RedisMode;
use super::{ConfigError, Projects, ProtocolReports, Redis};

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
    /// Whether clients are reported to workers, with the events that nothing here handles.
    pub reports: ProtocolReports,
}

impl Default for Emit {
    fn default() -> Self {
        let EmitBridge { prefix, channel, .. } = EmitBridge::default();
        Emit {
            bridge: false,
            bridge_prefix: prefix,
            bridge_channel: channel,
            reports: ProtocolReports::default(),
        }
    }
}

impl Emit {
    pub(super) fn check(&self, redis: &Redis) -> Result<(), ConfigError> {
        if self.bridge && (redis.url.is_empty() || redis.mode == RedisMode::Cluster) {
            let wrong = "emit.bridge is on, and redis.url names no Redis that original nodes can use";
            return Err(ConfigError::Value(wrong.into()));
        }
        for (key, name) in [("bridge_prefix", &self.bridge_prefix), ("bridge_channel", &self.bridge_channel)]
        {
            if name.is_empty() {
                return Err(ConfigError::Value(format!("emit.{key} is empty")));
            }
        }
        Ok(())
    }

    /// The bridge, for the options of Redis; `None` if it is off.
    pub(super) fn bridge(&self, projects: &Projects) -> Option<EmitBridge> {
        self.bridge.then(|| EmitBridge {
            prefix: self.bridge_prefix.clone(),
            channel: self.bridge_channel.clone(),
            project: ProjectId::new(&projects.default).expect("the settings were checked"),
            ..EmitBridge::default()
        })
    }
}
