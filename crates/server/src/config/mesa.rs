//! Settings of the door for Mesa clients.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchboard::{MesaSettings, Name, ProjectId};
use switchboard_redis::MesaBridge;

use super::redis::RedisMode;
use super::{ConfigError, Inbox, Koji, MesaPortal, Projects, Redis};

/// Settings of the door for Mesa clients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mesa {
    /// Whether the door is open, at `path` and where `listen` says. Default false.
    pub enabled: bool,
    /// The path at which Mesa clients connect, and below it, where all clients do. Default `/mesa`.
    pub path: String,
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
    /// The original's switch of the inbox. It implies `inbox.enabled`, so it stores messages for users
    /// of all protocols. Default false.
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
    /// Whether it is written for originals in Redis which users are connected, and how many clients.
    /// Default true; Dispatchers of theirs that have messages wait look there.
    pub store_connected_users: bool,
}

impl Default for Mesa {
    fn default() -> Self {
        Mesa {
            enabled: false,
            path: MesaSettings::default().path,
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
            store_connected_users: true,
        }
    }
}

impl Mesa {
    pub(super) fn check(&self, redis: &Redis, koji: &Koji, inbox: &Inbox) -> Result<(), ConfigError> {
        self.check_path(koji)?;
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
        let stores = self.sync.enabled || self.enabled && inbox.is_on();
        if stores && !self.authentication.store_connected_users {
            let key = if self.sync.enabled { "mesa.sync.enabled" } else { "inbox.enabled" };
            return wrong(format!(
                "{key} is on, and mesa.authentication.store_connected_users is off\n\n\
                 hint: Dispatchers that have messages wait take everyone for away who is not stored"
            ));
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

    /// The path can be asked for, and is no other door's.
    fn check_path(&self, koji: &Koji) -> Result<(), ConfigError> {
        let path = &self.path;
        let reason = if !path.starts_with('/') {
            "it does not begin with /".into()
        } else if path == "/" {
            "no other door would be open\n\nhint: where mesa.listen says, every path is Mesa's".into()
        } else if path.ends_with('/') {
            "leave out the / at its end: what is below is Mesa's as well".into()
        } else if path == "/koji" && koji.enabled {
            "Koji clients connect there".into()
        } else {
            match path.parse::<http::uri::PathAndQuery>() {
                Ok(parsed) if parsed.path() == path => return Ok(()),
                Ok(_) => "it has more than a path".into(),
                Err(error) => error.to_string(),
            }
        };
        Err(ConfigError::Value(format!("mesa.path is {path}: {reason}")))
    }

    /// The bridge to originals, for the options of Redis; `None` if the door is shut or Redis is a cluster.
    pub(crate) fn bridge(&self, projects: &Projects, redis: &Redis) -> Option<MesaBridge> {
        (self.enabled && redis.mode != RedisMode::Cluster).then(|| MesaBridge {
            namespace: self.namespace.clone(),
            project: self.project(projects),
            servers: self.original_servers,
            stores_connected: self.authentication.store_connected_users,
        })
    }

    fn project(&self, projects: &Projects) -> ProjectId {
        ProjectId::new(self.namespace.as_ref().unwrap_or(&projects.default))
            .expect("the settings were checked")
    }

    /// The door as these settings want it.
    pub(crate) fn door(&self, projects: &Projects) -> switchboard::Mesa {
        switchboard::Mesa::new().with_settings(self.settings(projects))
    }

    fn settings(&self, projects: &Projects) -> MesaSettings {
        let when = |enabled: bool, ms: u64| enabled.then_some(Duration::from_millis(ms));
        MesaSettings {
            path: self.path.clone(),
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

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
            ("mesa.path=", "mesa.path is : it does not begin with /"),
            ("mesa.path=gateway", "mesa.path is gateway: it does not begin with /"),
            ("mesa.path=/", "mesa.path is /: no other door would be open"),
            ("mesa.path=/ws/", "leave out the / at its end"),
            ("mesa.path=/ws?version=1", "it has more than a path"),
            ("mesa.path=/ws#there", "it has more than a path"),
            ("mesa.path=/a gateway", "mesa.path is /a gateway: invalid uri character"),
            ("mesa.path=/koji", "mesa.path is /koji: Koji clients connect there"),
        ] {
            let error = Config::load(None, &[set.to_owned()]).unwrap_err().to_string();
            assert!(error.contains(named), "{set}: {error}");
        }
    }

    fn with(sets: &[&str]) -> Result<Config, ConfigError> {
        let sets: Vec<String> = sets.iter().map(|set| set.to_string()).collect();
        Config::load(None, &sets)
    }

    #[test]
    fn a_path_of_its_own_is_the_doors() {
        let config = with(&["mesa.path=/v1/gateway"]).unwrap();
        assert_eq!(config.mesa.settings(&config.projects).path, "/v1/gateway");
        assert!(with(&["mesa.path=/koji", "koji.enabled=false"]).is_ok(), "nobody else's");
    }

    #[test]
    fn every_default_of_the_original_is_applied() {
        let config = with(&[]).unwrap();
        let Mesa { enabled, listen, namespace, sync, portal, authentication, .. } = &config.mesa;
        assert_eq!((*enabled, listen.port(), namespace.as_deref()), (false, 4000, None));
        assert!(!sync.enabled && !portal.enabled && portal.distribute_load);
        assert!(authentication.store_connected_users);
        let quiet = config.mesa.settings(&config.projects);
        assert_eq!((quiet.heartbeat_interval, quiet.reconnect_interval), (None, None));
        assert_eq!((quiet.enforces_version, quiet.stores_messages), (None, false));

        let config = with(&["mesa.heartbeat.enabled=true", "mesa.reconnect.enabled=true"]).unwrap();
        let MesaSettings {
            heartbeat_interval,
            heartbeat_attempts_max,
            reconnect_interval,
            authentication_timeout,
            authentication_required,
            redelivery_interval,
            sends_user_object,
            closes_on_refusal,
            ..
        } = config.mesa.settings(&config.projects);
        let ms = |duration: Duration| duration.as_millis();
        assert_eq!((heartbeat_interval.map(ms), heartbeat_attempts_max), (Some(10_000), 3));
        assert_eq!((reconnect_interval.map(ms), ms(redelivery_interval)), (Some(5_000), 0));
        assert_eq!((ms(authentication_timeout), authentication_required), (10_000, false));
        assert!(sends_user_object && closes_on_refusal);
    }

    #[test]
    fn who_is_connected_is_stored_unless_that_is_off_and_nothing_waits() {
        let (redis, off) = ("redis=redis://h", "mesa.authentication.store_connected_users=false");
        for (sets, stores) in
            [(&[redis, "mesa.enabled=true"][..], true), (&[redis, "mesa.enabled=true", off], false)]
        {
            let bridge = with(sets).unwrap().redis().unwrap().unwrap().mesa.unwrap();
            assert_eq!(bridge.stores_connected, stores);
        }
        let error = with(&[off, "mesa.sync.enabled=true"]).unwrap_err().to_string();
        for named in ["mesa.sync.enabled is on", "mesa.authentication.store_connected_users is off", "hint: "]
        {
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn the_bridge_is_on_with_the_door_but_for_a_cluster() {
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
