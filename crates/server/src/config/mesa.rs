//! Settings of the door for Mesa clients.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchboard::{MesaSettings, Name};
use switchboard_redis::MesaBridge;

use super::redis::RedisMode;
use super::{ConfigError, MesaPortal, Projects, Redis};

/// Settings of the door for Mesa clients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mesa {
    /// Whether the door is open, at `/mesa` and where `listen` says. Default false.
    pub enabled: bool,
    /// Where Mesa clients connect, whatever the path. Default `127.0.0.1:4000`; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The project of Mesa clients. Default none: that of emit clients, `projects.default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Whether original Mesa servers may be on the same Redis, so that they are told what is sent here.
    /// Default false: their Dispatchers are heard anyway.
    pub original_servers: bool,
    /// The version that clients have to be of, such as "1.5.8": one that says another is closed. Default
    /// none: clients are not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforce_equal_versions: Option<String>,
    /// Whether clients are told to store messages. Default false.
    pub store_messages: bool,
    /// Whether messages wait for users who are away.
    pub sync: MesaSync,
    /// Whether clients are there.
    pub heartbeat: MesaHeartbeat,
    /// Whether clients come back.
    pub reconnect: MesaReconnect,
    /// Who clients are.
    pub authentication: MesaAuthentication,
    /// Whether clients are reported to workers and to original Portals, with the messages that nothing
    /// here handles.
    pub portal: MesaPortal,
}

/// Settings of messages that wait.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MesaSync {
    /// Whether they do: in Redis, or without it where `inbox.path` says. Default false.
    pub enabled: bool,
    /// How long to wait between two of those that a Mesa client has missed. Default 0 ms.
    pub redelivery_interval_ms: u64,
}

/// Settings of asking Mesa clients whether they are there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MesaHeartbeat {
    /// Whether they are asked. Default false: WebSocket pings find those who are gone.
    pub enabled: bool,
    /// How often. Default 10,000 ms.
    pub interval_ms: u64,
    /// How often in a row one may not answer before it is closed. Default 3.
    pub max_attempts: u32,
}

/// Settings of telling Mesa clients to connect again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MesaReconnect {
    /// Whether they are told to. Default false: they do not.
    pub enabled: bool,
    /// How long after a close. Default 5,000 ms.
    pub interval_ms: u64,
}

/// Settings of the tokens of Mesa clients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MesaAuthentication {
    /// Whether a client has to show one. Default false.
    pub required: bool,
    /// How long it has for that. Default 10,000 ms.
    pub timeout_ms: u64,
    /// Whether it is shown its user object. Default true.
    pub send_user_object: bool,
    /// Whether it is closed when its token is refused. Default true.
    pub disconnect_on_fail: bool,
}

impl Default for Mesa {
    fn default() -> Self {
        Mesa {
            enabled: false,
            listen: SocketAddr::from(([127, 0, 0, 1], 4000)),
            namespace: None,
            original_servers: false,
            enforce_equal_versions: None,
            store_messages: false,
            sync: MesaSync::default(),
            heartbeat: MesaHeartbeat::default(),
            reconnect: MesaReconnect::default(),
            authentication: MesaAuthentication::default(),
            portal: MesaPortal::default(),
        }
    }
}

impl Default for MesaHeartbeat {
    fn default() -> Self {
        MesaHeartbeat { enabled: false, interval_ms: 10_000, max_attempts: 3 }
    }
}

impl Default for MesaReconnect {
    fn default() -> Self {
        MesaReconnect { enabled: false, interval_ms: 5_000 }
    }
}

impl Default for MesaAuthentication {
    fn default() -> Self {
        MesaAuthentication {
            required: false,
            timeout_ms: 10_000,
            send_user_object: true,
            disconnect_on_fail: true,
        }
    }
}

impl Mesa {
    pub(super) fn check(&self, redis: &Redis) -> Result<(), ConfigError> {
        let wrong = |what: String| Err(ConfigError::Value(what));
        if self.original_servers
            && (!self.enabled || redis.url.is_empty() || redis.mode == RedisMode::Cluster)
        {
            let what = "mesa.original_servers is on, and the Mesa door is shut or redis.url names no Redis that \
                        original servers can use";
            return wrong(what.into());
        }
        if let Some(namespace) = &self.namespace
            && let Err(error) = Name::new(namespace)
        {
            return wrong(format!("mesa.namespace: {error}"));
        }
        if self.enforce_equal_versions.as_deref() == Some("") {
            return wrong("mesa.enforce_equal_versions is empty; leave it out to take every version".into());
        }
        for (key, ms) in [
            ("heartbeat.interval_ms", self.heartbeat.interval_ms),
            ("reconnect.interval_ms", self.reconnect.interval_ms),
            ("authentication.timeout_ms", self.authentication.timeout_ms),
        ] {
            if ms < 100 {
                return wrong(format!("mesa.{key} is {ms}; the least is 100"));
            }
        }
        Ok(())
    }

    /// The bridge to originals, for the options of Redis; `None` if the door is shut or Redis is a cluster.
    pub(crate) fn bridge(&self, projects: &Projects, redis: &Redis) -> Option<MesaBridge> {
        (self.enabled && redis.mode != RedisMode::Cluster).then(|| MesaBridge {
            namespace: self.namespace.clone(),
            project: self.project(projects),
            servers: self.original_servers,
        })
    }

    fn project(&self, projects: &Projects) -> Name {
        Name::new(self.namespace.as_ref().unwrap_or(&projects.default)).expect("the settings were checked")
    }

    /// The door as these settings want it.
    pub(crate) fn door(&self, projects: &Projects) -> switchboard::Mesa {
        let when = |enabled: bool, ms: u64| enabled.then_some(Duration::from_millis(ms));
        switchboard::Mesa::new().with_settings(MesaSettings {
            project: Some(self.project(projects)),
            heartbeat_interval: when(self.heartbeat.enabled, self.heartbeat.interval_ms),
            heartbeat_attempts_max: self.heartbeat.max_attempts,
            reconnect_interval: when(self.reconnect.enabled, self.reconnect.interval_ms),
            authentication_timeout: Duration::from_millis(self.authentication.timeout_ms),
            authentication_required: self.authentication.required,
            redelivery_interval: Duration::from_millis(self.sync.redelivery_interval_ms),
            enforces_version: self.enforce_equal_versions.clone(),
            stores_messages: self.store_messages,
            sends_user_object: self.authentication.send_user_object,
            closes_on_refusal: self.authentication.disconnect_on_fail,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    #[test]
    fn what_cannot_be_is_named() {
        for (set, named) in [
            ("mesa.namespace=", "mesa.namespace"),
            ("mesa.enforce_equal_versions=", "mesa.enforce_equal_versions is empty"),
            ("mesa.store_messages=often", "store_messages"),
            ("mesa.heartbeat.interval_ms=0", "mesa.heartbeat.interval_ms is 0; the least is 100"),
            ("mesa.reconnect.interval_ms=1", "mesa.reconnect.interval_ms"),
            ("mesa.authentication.timeout_ms=0", "mesa.authentication.timeout_ms"),
            ("mesa.listen=nowhere", "mesa.listen"),
            ("mesa.heartbeat.interval=5", "interval"),
        ] {
            let error = Config::load(None, &[set.to_owned()]).unwrap_err().to_string();
            assert!(error.contains(named), "{set}: {error}");
        }
    }

    #[test]
    fn the_bridge_is_on_with_the_door_but_for_a_cluster() {
        let with = |sets: &[&str]| {
            let sets: Vec<String> = sets.iter().map(|set| set.to_string()).collect();
            Config::load(None, &sets)
        };
        let redis = "redis=redis://h";
        assert_eq!(with(&[redis]).unwrap().redis().unwrap().unwrap().mesa, None, "the door is shut");
        let config = with(&[redis, "mesa.enabled=true", "projects.default=p"]).unwrap();
        let bridge = config.redis().unwrap().unwrap().mesa.unwrap();
        assert_eq!((bridge.namespace, &*bridge.project, bridge.servers), (None, "p", false));
        let originals = "mesa.original_servers=true";
        let config = with(&[redis, "mesa.enabled=true", "mesa.namespace=api", originals]).unwrap();
        let bridge = config.redis().unwrap().unwrap().mesa.unwrap();
        assert_eq!(
            (bridge.namespace.as_deref(), &*bridge.project, bridge.servers),
            (Some("api"), "api", true)
        );
        let cluster = "redis.mode=cluster";
        let config = with(&[redis, cluster, "mesa.enabled=true"]).unwrap();
        assert_eq!(config.redis().unwrap().unwrap().mesa, None);
        for wrong in
            [&[originals][..], &[originals, redis], &[originals, redis, cluster, "mesa.enabled=true"]]
        {
            assert!(with(wrong).unwrap_err().to_string().contains("mesa.original_servers"), "{wrong:?}");
        }
    }
}
