//! Settings of the emit protocol: the bridge to original emit.gg nodes, and reports.

use serde::{Deserialize, Serialize};
use switchboard::ProjectId;
use switchboard_redis::EmitBridge;

use super::error::InvalidSetting;
use super::no_effect::NoEffect;
use super::projects::Projects;
use super::redis::{Redis, RedisMode};

/// Settings of the emit protocol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Emit {
    /// Exchanges messages with original emit.gg nodes on the same Redis, in the project of emit
    /// clients; needs a single Redis server or Sentinel. Default false.
    pub bridge: bool,
    /// Prefix of the original nodes' keys: `prefix` of their Redis adapter. Default `emit.gg`.
    pub bridge_prefix: String,
    /// Redis channel of the original nodes: `channel` of their Redis adapter. Default `emit.gg`.
    pub bridge_channel: String,
    /// Reports of emit clients to workers.
    pub reports: EmitReports,
}

/// Reports of emit clients to workers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmitReports {
    /// Reports actions of emit clients to workers: connected, authenticated, disconnected, and messages
    /// without a handler. Needs `redis.url`. Default false.
    pub enabled: bool,
}

impl Default for Emit {
    fn default() -> Self {
        let EmitBridge { prefix, channel, .. } = EmitBridge::default();
        let reports = EmitReports::default();
        Emit { bridge: false, bridge_prefix: prefix, bridge_channel: channel, reports }
    }
}

impl Emit {
    pub(super) fn check(&self, redis: &Redis) -> Result<(), InvalidSetting> {
        if self.bridge && (redis.url.is_empty() || redis.mode == RedisMode::Cluster) {
            let problem = "it needs redis.url, and a redis.mode other than cluster";
            let hint = "set redis.url to the Redis that the original nodes use";
            return Err(InvalidSetting::new("emit.bridge", problem).with_hint(hint));
        }
        for (key, name) in
            [("emit.bridge_prefix", &self.bridge_prefix), ("emit.bridge_channel", &self.bridge_channel)]
        {
            if name.is_empty() {
                return Err(InvalidSetting::new(key, "expected a string that is not empty"));
            }
        }
        Ok(())
    }

    /// Settings without effect.
    pub(super) fn no_effect(&self) -> Option<NoEffect> {
        let keys = &["emit.bridge_prefix", "emit.bridge_channel"];
        (!self.bridge).then(|| NoEffect::of(keys, "emit.bridge is `false`").with_switches(&["emit.bridge"]))
    }

    /// The bridge, as an option of Redis; `None` if it is off.
    pub(super) fn bridge(&self, projects: &Projects) -> Option<EmitBridge> {
        self.bridge.then(|| EmitBridge {
            prefix: self.bridge_prefix.clone(),
            channel: self.bridge_channel.clone(),
            project: ProjectId::new(&projects.default).expect("the settings were checked"),
            ..EmitBridge::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::with;

    #[test]
    fn the_emit_bridge_is_off_by_default_and_uses_the_project_of_emit_clients() {
        let config = with(&[]).unwrap();
        assert_eq!(config.emit.bridge(&config.projects), None);
        let redis = "redis=redis://h";
        let config =
            with(&[redis, "emit.bridge=true", "emit.bridge_prefix=chat", "projects.default=p"]).unwrap();
        let bridge = config.emit.bridge(&config.projects).unwrap();
        assert_eq!((&*bridge.prefix, &*bridge.channel, &*bridge.project), ("chat", "emit.gg", "p"));
        assert_eq!(config.redis().unwrap().unwrap().emit, Some(bridge));
        assert!(with(&["emit.bridge_prefix="]).is_err());
        for no_redis in [&["emit.bridge=true"][..], &["emit.bridge=true", redis, "redis.mode=cluster"]] {
            assert!(with(no_redis).unwrap_err().to_string().contains("emit.bridge"));
        }
    }
}
