//! Settings of the Mesa protocol. They have the names and defaults of the original's options.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchboard::protocols::MesaSettings;
use switchboard::{Name, ProjectId};
use switchboard_redis::MesaBridge;

use super::error::InvalidSetting;
use super::koji::Koji;
use super::no_effect::NoEffect;
use super::projects::Projects;
use super::redis::{Redis, RedisMode};

/// Settings of the Mesa protocol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mesa {
    /// Accepts Mesa clients, at `mesa.path` of the common address and at `mesa.listen`. Default false.
    pub enabled: bool,
    /// Path of Mesa clients at the common address; the paths below it belong to Mesa as well. Not `/`,
    /// and `/koji` only if `koji.enabled` is false. Default `/mesa`.
    pub path: String,
    /// Address for Mesa clients only, at any path; port 0 takes a free one. Default `127.0.0.1:4000`.
    pub listen: SocketAddr,
    /// Project of Mesa clients, and namespace of the original Dispatchers on the same Redis. Default:
    /// `projects.default`, and no namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Sends dispatches to original Mesa servers on the same Redis as well. Messages of original
    /// Dispatchers are received in any case. Default false.
    pub original_servers: bool,
    /// Required version of Mesa clients, such as `1.5.8`. The server requests it in hello and closes a
    /// client of another version with 1002. Many clients cannot answer and fail. Default: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforce_equal_versions: Option<String>,
    /// Asks Mesa clients to store messages. Default false.
    pub store_messages: bool,
    /// The original's options of stored messages.
    pub sync: MesaSync,
    /// Heartbeats of the Mesa protocol.
    pub heartbeat: MesaHeartbeat,
    /// Reconnecting of Mesa clients.
    pub reconnect: MesaReconnect,
    /// Tokens of Mesa clients.
    pub authentication: MesaAuthentication,
    /// Reports of Mesa clients, with the original's options.
    pub portal: MesaPortal,
}

/// The original's options of stored messages.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MesaSync {
    /// The original's switch of the inbox. True implies `inbox.enabled`, so messages are stored for
    /// users of every protocol. Default false.
    pub enabled: bool,
    /// Time in milliseconds between two redelivered messages to a Mesa client. Default 0.
    pub redelivery_interval_ms: u64,
}

/// Settings of Mesa's own heartbeats.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MesaHeartbeat {
    /// Sends Mesa heartbeats. If false, WebSocket pings find dead connections. Default false.
    pub enabled: bool,
    /// Interval in milliseconds, at least 100. Default 10,000.
    pub interval_ms: u64,
    /// Heartbeats in a row that a client may leave unanswered; then it is closed. Default 3.
    pub max_attempts: u32,
}

/// Settings of reconnecting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MesaReconnect {
    /// Asks clients to reconnect after every close; without it they do not. Default false.
    pub enabled: bool,
    /// Time in milliseconds between a close and the new connection, at least 100. Default 5,000.
    pub interval_ms: u64,
}

/// Settings of the tokens of Mesa clients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MesaAuthentication {
    /// Closes a client that has sent no accepted token within `timeout_ms` with 1008. Default false.
    pub required: bool,
    /// Time in milliseconds that a client has to send its token, at least 100. Default 10,000.
    pub timeout_ms: u64,
    /// Sends the client its user object when its token is accepted. Default true.
    pub send_user_object: bool,
    /// Closes a client with 1008 when its token is refused. Default true.
    pub disconnect_on_fail: bool,
    /// Writes the connected users and their number into Redis for original Dispatchers. Dispatchers with
    /// stored messages treat every other user as offline, so it has to be true if the inbox is on.
    /// Default true.
    pub store_connected_users: bool,
}

/// Settings of reports of Mesa clients: to workers, and to original Portals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MesaPortal {
    /// Reports client actions (connected, authenticated, disconnected, messages without a handler) to
    /// workers and to original Portals of the namespace; needs `redis.url`. In Redis Cluster original
    /// Portals get nothing. Default false.
    pub enabled: bool,
    /// Selects the original Portals in turn; if false, each report goes to a random one. Default true.
    pub distribute_load: bool,
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

impl Default for MesaPortal {
    fn default() -> Self {
        MesaPortal { enabled: false, distribute_load: true }
    }
}

impl Mesa {
    pub(super) fn check(&self, redis: &Redis, koji: &Koji, inbox_is_on: bool) -> Result<(), InvalidSetting> {
        self.check_path(koji)?;
        let has_originals = self.enabled && !redis.url.is_empty() && redis.mode != RedisMode::Cluster;
        if self.original_servers && !has_originals {
            let problem = "it needs mesa.enabled, redis.url and a redis.mode other than cluster";
            let hint = "set redis.url to the Redis that the original servers use";
            return Err(InvalidSetting::new("mesa.original_servers", problem).with_hint(hint));
        }
        if let Some(namespace) = &self.namespace
            && let Err(error) = Name::new(namespace)
        {
            return Err(InvalidSetting::new("mesa.namespace", format!("expected a name: {error}")));
        }
        if self.enforce_equal_versions.as_deref() == Some("") {
            let invalid = InvalidSetting::new("mesa.enforce_equal_versions", "expected a version");
            return Err(invalid.with_hint("leave it out to accept every version"));
        }
        self.check_connected_users(inbox_is_on)?;
        if self.heartbeat.max_attempts == 0 {
            let invalid = InvalidSetting::new("mesa.heartbeat.max_attempts", "expected at least 1");
            return Err(invalid.with_hint("mesa.heartbeat.enabled=false switches heartbeats off"));
        }
        for (key, ms) in [
            ("mesa.heartbeat.interval_ms", self.heartbeat.interval_ms),
            ("mesa.reconnect.interval_ms", self.reconnect.interval_ms),
            ("mesa.authentication.timeout_ms", self.authentication.timeout_ms),
        ] {
            if ms < 100 {
                return Err(InvalidSetting::new(key, "expected at least 100"));
            }
        }
        Ok(())
    }

    fn check_connected_users(&self, inbox_is_on: bool) -> Result<(), InvalidSetting> {
        let inbox = match (self.sync.enabled, self.enabled && inbox_is_on) {
            (true, _) => "mesa.sync.enabled",
            (false, true) => "inbox.enabled",
            (false, false) => return Ok(()),
        };
        if self.authentication.store_connected_users {
            return Ok(());
        }
        let problem = format!("{inbox} is `true`, which needs `true`");
        let hint = "original Dispatchers with stored messages treat users that are not written as offline";
        Err(InvalidSetting::new("mesa.authentication.store_connected_users", problem).with_hint(hint))
    }

    /// Settings without effect.
    pub(super) fn no_effect(&self, inbox_is_on: bool) -> Vec<NoEffect> {
        if !self.enabled {
            let off = NoEffect::of(&["mesa"], "mesa.enabled is `false`");
            return vec![off.except(&["mesa.enabled", "mesa.sync.enabled"]).with_switches(&["mesa.enabled"])];
        }
        let heartbeat = &["mesa.heartbeat.interval_ms", "mesa.heartbeat.max_attempts"];
        let parts = [
            (
                self.heartbeat.enabled,
                NoEffect::of(heartbeat, "mesa.heartbeat.enabled is `false`")
                    .with_switches(&["mesa.heartbeat.enabled"]),
            ),
            (
                self.reconnect.enabled,
                NoEffect::of(&["mesa.reconnect.interval_ms"], "mesa.reconnect.enabled is `false`")
                    .with_switches(&["mesa.reconnect.enabled"]),
            ),
            (
                self.authentication.required,
                NoEffect::of(&["mesa.authentication.timeout_ms"], "mesa.authentication.required is `false`")
                    .with_switches(&["mesa.authentication.required"]),
            ),
            (
                self.portal.enabled,
                NoEffect::of(&["mesa.portal.distribute_load"], "mesa.portal.enabled is `false`")
                    .with_switches(&["mesa.portal.enabled"]),
            ),
            (
                inbox_is_on,
                NoEffect::of(&["mesa.sync.redelivery_interval_ms"], "inbox.enabled is `false`")
                    .with_switches(&["inbox.enabled", "mesa.sync.enabled"]),
            ),
        ];
        parts.into_iter().filter(|(is_on, _)| !is_on).map(|(_, rule)| rule).collect()
    }

    /// The path has to be valid in a request, and may not belong to another protocol.
    fn check_path(&self, koji: &Koji) -> Result<(), InvalidSetting> {
        let path = &self.path;
        let invalid = |problem: &str| Err(InvalidSetting::new("mesa.path", problem));
        if !path.starts_with('/') {
            return invalid("expected a path that begins with /");
        }
        if path == "/" {
            let invalid =
                InvalidSetting::new("mesa.path", "it would take every path from the other protocols");
            return Err(invalid.with_hint("every path at mesa.listen is Mesa's already"));
        }
        if path.ends_with('/') {
            return invalid("expected no / at its end; the paths below it are Mesa's as well");
        }
        if path == "/koji" && koji.enabled {
            return invalid("Koji clients connect there, because koji.enabled is `true`");
        }
        match path.parse::<http::uri::PathAndQuery>() {
            Ok(parsed) if parsed.path() == path => Ok(()),
            Ok(_) => invalid("expected a path without query and fragment"),
            Err(error) => invalid(&format!("expected a path: {error}")),
        }
    }

    /// The bridge to the original Dispatchers and servers, as an option of Redis; `None` if the protocol
    /// is off or Redis is a cluster.
    pub(crate) fn bridge(&self, projects: &Projects, redis: &Redis) -> Option<MesaBridge> {
        (self.enabled && redis.mode != RedisMode::Cluster).then(|| MesaBridge {
            namespace: self.namespace.clone(),
            project: self.project(projects),
            servers: self.original_servers,
            stores_connected_users: self.authentication.store_connected_users,
        })
    }

    /// The project of Mesa clients.
    pub(super) fn project(&self, projects: &Projects) -> ProjectId {
        let id = self.namespace.as_ref().unwrap_or(&projects.default);
        ProjectId::new(id).expect("the settings were checked")
    }

    /// The protocol with these settings.
    pub(crate) fn protocol(&self, projects: &Projects) -> switchboard::Mesa {
        switchboard::Mesa::new().with_settings(self.settings(projects))
    }

    fn settings(&self, projects: &Projects) -> MesaSettings {
        let if_enabled = |enabled: bool, ms: u64| enabled.then_some(Duration::from_millis(ms));
        MesaSettings {
            path: self.path.clone(),
            project: Some(self.project(projects)),
            heartbeat_interval: if_enabled(self.heartbeat.enabled, self.heartbeat.interval_ms),
            heartbeat_attempts_max: self.heartbeat.max_attempts,
            reconnect_interval: if_enabled(self.reconnect.enabled, self.reconnect.interval_ms),
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
    use super::super::{Config, with};
    use super::*;

    #[test]
    fn an_invalid_setting_is_reported_with_its_key() {
        for (set, named) in [
            ("mesa.namespace=", "mesa.namespace"),
            (
                "mesa.enforce_equal_versions=",
                "mesa.enforce_equal_versions is `` (--set mesa.enforce_equal_versions); expected a version",
            ),
            ("mesa.store_messages=often", "store_messages"),
            (
                "mesa.heartbeat.interval_ms=0",
                "mesa.heartbeat.interval_ms is `0` (--set mesa.heartbeat.interval_ms); expected at least 100",
            ),
            ("mesa.reconnect.interval_ms=1", "mesa.reconnect.interval_ms"),
            ("mesa.authentication.timeout_ms=0", "mesa.authentication.timeout_ms"),
            ("mesa.listen=nowhere", "mesa.listen"),
            ("mesa.heartbeat.interval=5", "interval"),
            ("mesa.path=", "mesa.path is `` (--set mesa.path); expected a path that begins with /"),
            (
                "mesa.path=gateway",
                "mesa.path is `gateway` (--set mesa.path); expected a path that begins with /",
            ),
            (
                "mesa.path=/",
                "mesa.path is `/` (--set mesa.path); it would take every path from the other protocols",
            ),
            ("mesa.path=/ws/", "expected no / at its end"),
            ("mesa.path=/ws?version=1", "expected a path without query and fragment"),
            ("mesa.path=/ws#there", "expected a path without query and fragment"),
            (
                "mesa.path=/a gateway",
                "mesa.path is `/a gateway` (--set mesa.path); expected a path: invalid uri character",
            ),
            ("mesa.path=/koji", "mesa.path is `/koji` (--set mesa.path); Koji clients connect there"),
        ] {
            let error = Config::load(None, &[set.to_owned()]).unwrap_err().to_string();
            assert!(error.contains(named), "{set}: {error}");
        }
    }

    #[test]
    fn the_path_can_be_set_and_may_be_koji_only_without_koji() {
        let config = with(&["mesa.path=/v1/gateway"]).unwrap();
        assert_eq!(config.mesa.settings(&config.projects).path, "/v1/gateway");
        assert!(with(&["mesa.path=/koji", "koji.enabled=false"]).is_ok(), "no other protocol uses it");
    }

    #[test]
    fn every_default_of_the_original_is_applied() {
        let config = with(&[]).unwrap();
        let Mesa { enabled, listen, namespace, sync, portal, authentication, .. } = &config.mesa;
        assert_eq!((*enabled, listen.port(), namespace.as_deref()), (false, 4000, None));
        assert!(!sync.enabled && !portal.enabled && portal.distribute_load);
        assert!(authentication.store_connected_users);
        let off = config.mesa.settings(&config.projects);
        assert_eq!((off.heartbeat_interval, off.reconnect_interval), (None, None));
        assert_eq!((off.enforces_version, off.stores_messages), (None, false));

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
    fn connected_users_are_written_unless_that_is_off_which_the_inbox_forbids() {
        let (redis, off) = ("redis=redis://h", "mesa.authentication.store_connected_users=false");
        for (sets, stores) in
            [(&[redis, "mesa.enabled=true"][..], true), (&[redis, "mesa.enabled=true", off], false)]
        {
            let bridge = with(sets).unwrap().redis().unwrap().unwrap().mesa.unwrap();
            assert_eq!(bridge.stores_connected_users, stores);
        }
        let error = with(&[off, "mesa.sync.enabled=true"]).unwrap_err().to_string();
        for named in
            ["mesa.authentication.store_connected_users is `false`", "mesa.sync.enabled is `true`", "hint: "]
        {
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn the_bridge_is_on_with_the_protocol_except_in_a_cluster() {
        let redis = "redis=redis://h";
        assert_eq!(with(&[redis]).unwrap().redis().unwrap().unwrap().mesa, None, "the protocol is off");
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
