//! Settings: a TOML file, then the environment, then flags; each overrides the one before.

mod api;
mod auth;
mod emit;
mod inbox;
mod koji;
mod mesa;
mod projects;
mod redis;
mod reports;
mod secret;
mod sections;
mod set;
mod toml_format;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use figment::Figment;
use figment::providers::{Env, Format, Serialized};
use serde::{Deserialize, Serialize};
use switchboard::Limits;
use switchboard_redis::Options;

pub use api::Api;
pub use auth::Auth;
pub use emit::Emit;
pub use inbox::Inbox;
pub use koji::Koji;
pub use mesa::{Mesa, MesaAuthentication, MesaHeartbeat, MesaReconnect, MesaSync};
pub use projects::{ProjectSettings, Projects};
use redis::WithShortForm;
pub use redis::{Addresses, Node, Redis, RedisMode};
pub use reports::{MesaPortal, ProtocolReports, Reports};
pub use secret::{Secret, Secrets};
pub use sections::{Clients, Internal, Log, LogFormat, Stop};
use set::Set;
use toml_format::Toml;

/// Environment variables begin with this; `__` stands for the dot: `SWITCHBOARD_LIMITS__ENABLED`.
const ENV_PREFIX: &str = "SWITCHBOARD_";

/// The inbox's switch as [`Config::to_toml`] writes it, at the beginning of its section.
const INBOX_ON: &str = "[inbox]\nenabled = true";

/// All settings of the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where clients connect. Default `127.0.0.1:3000`; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Health and metrics.
    pub internal: Internal,
    /// Who may connect.
    pub clients: Clients,
    /// Every bound.
    pub limits: Limits,
    /// The HTTP API for backends.
    pub api: Api,
    /// Which tokens are accepted.
    pub auth: Auth,
    /// The bridge to original emit.gg nodes.
    pub emit: Emit,
    /// The door for Koji clients.
    pub koji: Koji,
    /// The door for Mesa clients.
    pub mesa: Mesa,
    /// Where messages wait for users.
    pub inbox: Inbox,
    /// Reports of clients, for workers.
    pub reports: Reports,
    /// The projects.
    pub projects: Projects,
    /// What makes many nodes one.
    pub redis: Redis,
    /// This node among the others.
    pub node: Node,
    /// The log.
    pub log: Log,
    /// How the server stops.
    pub stop: Stop,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 3000)),
            internal: Internal::default(),
            clients: Clients::default(),
            limits: Limits::default(),
            api: Api::default(),
            auth: Auth::default(),
            emit: Emit::default(),
            koji: Koji::default(),
            mesa: Mesa::default(),
            inbox: Inbox::default(),
            reports: Reports::default(),
            projects: Projects::default(),
            redis: Redis::default(),
            node: Node::default(),
            log: Log::default(),
            stop: Stop::default(),
        }
    }
}

/// Why there are no settings to run with: the operator's to mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file named on the command line is not there.
    #[error("cannot read the configuration file {0}")]
    NoFile(String),
    /// A `--set` is not `section.key=value`.
    #[error("--set {0} is not of the form section.key=value")]
    BadSet(String),
    /// Settings that are unknown or have the wrong type, a line each.
    #[error("{}", lines(.0))]
    Settings(Vec<String>),
    /// A setting whose value cannot be.
    #[error("{0}")]
    Value(String),
}

fn lines(lines: &[String]) -> String {
    lines.join("\n")
}

impl Config {
    /// Puts the settings together. `sets` are `section.key=value`, the last say of all.
    pub fn load(file: Option<&Path>, sets: &[String]) -> Result<Config, ConfigError> {
        let mut figment = Figment::from(Serialized::defaults(Config::default()));
        if let Some(path) = file {
            if !path.is_file() {
                return Err(ConfigError::NoFile(path.display().to_string()));
            }
            figment = figment.merge(WithShortForm(Toml::file_exact(path)));
        }
        // Before names are split, so that the short form can stand beside `SWITCHBOARD_REDIS__PREFIX`.
        let env = Env::prefixed(ENV_PREFIX);
        let env = env.map(|name| if name == "redis" { "redis__url".into() } else { name.into() });
        figment = figment.merge(env.split("__"));
        for set in sets {
            figment = figment.merge(WithShortForm(Set::parse(set)?));
        }
        let mut config: Config = figment.extract().map_err(|errors| {
            ConfigError::Settings(errors.into_iter().map(|error| describe(&error)).collect())
        })?;
        config.inbox.imply(&config.mesa);
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let heartbeat = self.limits.heartbeat_interval;
        if !heartbeat.is_zero() && heartbeat < Duration::from_secs(1) {
            let ms = heartbeat.as_millis();
            return Err(ConfigError::Value(format!(
                "limits.heartbeat_interval_ms is {ms}; the least is 1000\n\nhint: 0 switches heartbeats off"
            )));
        }
        self.api.check()?;
        self.emit.check(&self.redis)?;
        self.koji.check()?;
        self.mesa.check(&self.redis, &self.koji, &self.inbox)?;
        self.inbox.check(&self.mesa)?;
        self.projects.check()?;
        self.redis.check(&self.node)?;
        self.reports.check(self)?;
        self.auth.verifier().map(drop)
    }

    /// What to connect to Redis with; `None` if the node is alone.
    pub(crate) fn redis(&self) -> Result<Option<Options>, ConfigError> {
        let (emit, mesa) = (self.emit.bridge(&self.projects), self.mesa.bridge(&self.projects, &self.redis));
        let (inbox, reports) = (self.inbox.is_on().then(|| self.inbox.limits()), self.report_options());
        let options = self.redis.options(&self.node)?;
        Ok(options.map(|options| Options { emit, mesa, inbox, reports, ..options }))
    }

    /// The settings as a TOML file that would give the same, but for secrets, which are not shown.
    pub fn to_toml(&self) -> String {
        let text = toml::to_string(self).expect("settings that were read from TOML can be written as TOML");
        match self.mesa.sync.enabled {
            true => text.replacen(INBOX_ON, &format!("{INBOX_ON} # implied by mesa.sync.enabled"), 1),
            false => text,
        }
    }
}

/// Says what is wrong with a setting, and where it was set.
fn describe(error: &figment::Error) -> String {
    let key = error.path.join(".");
    let source = match &error.metadata {
        Some(metadata) => match &metadata.source {
            Some(source) => format!(" in {} {source}", metadata.name),
            None => format!(" in {}", metadata.name),
        },
        None => String::new(),
    };
    let key = if key.is_empty() { String::new() } else { format!(" for `{key}`") };
    format!("{}{key}{source}", error.kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(sets: &[&str]) -> Result<Config, ConfigError> {
        let sets: Vec<String> = sets.iter().map(|set| set.to_string()).collect();
        Config::load(None, &sets)
    }

    #[test]
    fn the_effective_settings_give_themselves_again() {
        let config =
            with(&["limits.messages_per_s=7", "clients.allowed_origins=[\"https://a.example\"]"]).unwrap();
        let again: Config = toml::from_str(&config.to_toml()).unwrap();
        assert_eq!(again, config);
        assert_eq!(again.limits.messages_per_s, Some(7));
    }

    #[test]
    fn a_value_needs_no_quotes() {
        let config =
            with(&["listen=127.0.0.1:0", "log.filter=warn,switchboard=debug", "log.format=json"]).unwrap();
        assert_eq!(config.log, Log { filter: "warn,switchboard=debug".into(), format: LogFormat::Json });
        assert_eq!(config.listen.port(), 0);
    }

    #[test]
    fn an_unknown_setting_is_named_with_its_source() {
        let error = with(&["limits.mesages_per_s=7"]).unwrap_err().to_string();
        assert!(error.contains("mesages_per_s") && error.contains("--set limits.mesages_per_s"), "{error}");
    }

    #[test]
    fn a_value_of_the_wrong_type_is_named_with_its_source() {
        let error = with(&["limits.messages_per_s=many"]).unwrap_err().to_string();
        assert!(error.contains("limits.messages_per_s") && error.contains("--set"), "{error}");
    }

    #[test]
    fn values_that_cannot_be_come_with_a_hint() {
        let error = with(&["limits.heartbeat_interval_ms=200"]).unwrap_err().to_string();
        assert!(error.starts_with("limits.heartbeat_interval_ms is 200; the least is 1000"), "{error}");
        assert!(with(&["limits.heartbeat_interval_ms=0"]).is_ok());
        assert!(with(&["projects.default="]).is_err());
        for bad in ["listen", "=1", "a..b=1", "a b=1"] {
            assert!(matches!(with(&[bad]), Err(ConfigError::BadSet(_))), "{bad}");
        }
    }

    #[test]
    fn a_secret_is_a_text_or_a_list_and_never_shown() {
        for (value, secrets) in [("s3cret", 1), ("12345", 1), ("[\"s3cret\", \"older\"]", 2), ("\"1e5\"", 1)]
        {
            let config = with(&[&format!("auth.jwt_secret={value}")]).unwrap();
            assert_eq!(config.auth.jwt_secret.len(), secrets);
            let shown = format!("{config:?}{}", config.to_toml());
            assert!(!shown.contains("s3cret") && !shown.contains("12345"), "{shown}");
            assert!(config.auth.verifier().unwrap().is_some());
        }
        for bad in ["true", "1e5", "{a=\"s3cret\"}"] {
            let error = with(&[&format!("auth.jwt_secret={bad}")]).unwrap_err().to_string();
            assert!(error.contains("auth.jwt_secret") && !error.contains("s3cret"), "{error}");
        }
        for bad in ["auth.jwt_secret=", "auth.jwks_url=ftp://x", "auth.public_keys=[\"x\"]"] {
            let error = with(&[bad]).unwrap_err().to_string();
            assert!(error.contains(bad.split_once('=').unwrap().0), "{error}");
        }
        assert!(with(&[]).unwrap().auth.verifier().unwrap().is_none());
    }

    #[test]
    fn the_bridge_is_off_until_it_is_on_and_is_of_the_emit_clients_project() {
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

    #[test]
    fn a_project_says_only_what_is_different_in_it() {
        let config = with(&[
            "projects.every.capacity_max=20",
            "projects.every.events=[\"tap\"]",
            "projects.named.game.capacity_max=4",
            "projects.named.game.connections_max=9",
        ])
        .unwrap();
        let rules = config.projects.rules();
        let of = |id: &str| rules(&switchboard::ProjectId::new(id).unwrap());
        let (game, other) = (of("game").unwrap(), of("other").unwrap());
        assert_eq!((game.capacity_max, game.connections_max), (4, Some(9)));
        assert_eq!((other.capacity_max, other.connections_max), (20, None));
        assert_eq!(
            (&game.events, &other.events),
            (&Some(vec!["tap".to_owned()]), &Some(vec!["tap".to_owned()]))
        );
        let closed =
            with(&["projects.any=false", "projects.named.game.capacity_max=4"]).unwrap().projects.rules();
        assert!(closed(&switchboard::ProjectId::new("game").unwrap()).is_some());
        assert!(closed(&switchboard::ProjectId::new("other").unwrap()).is_none());
        for bad in ["capacity_max=0", "capacity_default=10001", "message_units_max=128001"] {
            assert!(with(&[&format!("projects.named.game.{bad}")]).is_err(), "{bad}");
        }
    }
}
