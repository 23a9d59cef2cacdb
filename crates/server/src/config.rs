//! Settings: a TOML file, then the environment, then flags; each overrides the one before.
//!
//! Each section is a file with its defaults and its checks. The doc comments of the fields are also the
//! text of `docs/reference/settings.md`.

mod api;
mod auth;
mod clients;
mod emit;
mod error;
mod file;
mod flag;
mod inbox;
mod issuer;
mod koji;
mod mesa;
mod process;
mod projects;
mod redis;
mod reports;
mod secret;
mod short_form;
mod sources;
mod toml_format;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchboard::{Limits, Protocol};
use switchboard_redis::{Options, ReportOptions};

pub use api::Api;
pub use auth::Auth;
pub use clients::Clients;
pub use emit::{Emit, EmitReports};
pub use error::{ConfigError, InvalidSetting};
pub use inbox::Inbox;
pub use issuer::Issuer;
pub use koji::{Koji, KojiReports};
pub use mesa::{Mesa, MesaAuthentication, MesaHeartbeat, MesaPortal, MesaReconnect, MesaSync};
pub use process::{Internal, Log, LogFormat, Stop};
pub use projects::{ProjectSettings, Projects};
pub use redis::{Addresses, Node, Redis, RedisMode};
pub use reports::Reports;
pub use secret::{Secret, Secrets};

use reports::ReportedClients;
use sources::Sources;

/// The inbox's switch as [`Config::to_toml`] writes it, at the beginning of its section.
const INBOX_ON: &str = "[inbox]\nenabled = true";

/// Smallest permitted `limits.header_bytes_max`.
const HEADER_BYTES_MIN: usize = 1024;

/// All settings of the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address for clients of all protocols; port 0 takes a free one. Default `127.0.0.1:3000`.
    pub listen: SocketAddr,
    /// Health checks and metrics.
    pub internal: Internal,
    /// Client connections.
    pub clients: Clients,
    /// Limits on connections, messages, queues and durations.
    pub limits: Limits,
    /// The HTTP API for backends.
    pub api: Api,
    /// Accepted tokens.
    pub auth: Auth,
    /// The emit protocol, and the bridge to original emit.gg nodes.
    pub emit: Emit,
    /// The Koji protocol.
    pub koji: Koji,
    /// The Mesa protocol.
    pub mesa: Mesa,
    /// Stored messages for users.
    pub inbox: Inbox,
    /// Reports of client actions to workers.
    pub reports: Reports,
    /// Projects and their rules.
    pub projects: Projects,
    /// Redis, which connects the nodes.
    pub redis: Redis,
    /// This node in the cluster.
    pub node: Node,
    /// The log.
    pub log: Log,
    /// The shutdown.
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

impl Config {
    /// Reads and checks the settings. `flags` are `section.key=value` and override all other sources.
    pub fn load(file: Option<&Path>, flags: &[String]) -> Result<Config, ConfigError> {
        let sources = Sources::read(Config::default(), file, flags)?;
        let mut config: Config = sources.extract()?;
        config.inbox.imply(config.mesa.sync.enabled);
        config.check().map_err(|invalid| sources.locate(invalid))?;
        Ok(config)
    }

    fn check(&self) -> Result<(), InvalidSetting> {
        let heartbeat = self.limits.heartbeat_interval;
        if !heartbeat.is_zero() && heartbeat < Duration::from_secs(1) {
            let invalid = InvalidSetting::new("limits.heartbeat_interval_ms", "expected 0 or at least 1000");
            return Err(invalid.with_hint("0 switches heartbeats off"));
        }
        if self.limits.header_bytes_max < HEADER_BYTES_MIN {
            let problem = format!("expected at least {HEADER_BYTES_MIN}, which a browser's handshake needs");
            return Err(InvalidSetting::new("limits.header_bytes_max", problem));
        }
        self.api.check()?;
        self.emit.check(&self.redis)?;
        self.koji.check()?;
        self.mesa.check(&self.redis, &self.koji, self.inbox.is_on())?;
        self.inbox.check(self.mesa.sync.enabled)?;
        self.projects.check()?;
        self.redis.check(&self.node)?;
        self.reports.check(&self.reported())?;
        self.auth.check()
    }

    fn reported(&self) -> ReportedClients<'_> {
        let Config { emit, koji, mesa, projects, redis, .. } = self;
        ReportedClients { emit, koji, mesa, projects, redis }
    }

    /// The protocols with reports to workers.
    pub(crate) fn reported_protocols(&self) -> Vec<Protocol> {
        self.reported().protocols()
    }

    /// The reports, as options of Redis; `None` if no client is reported.
    pub(crate) fn report_options(&self) -> Option<ReportOptions> {
        self.reports.options(&self.reported())
    }

    /// The options of the Redis connection; `None` if the node runs without Redis.
    pub(crate) fn redis(&self) -> Result<Option<Options>, ConfigError> {
        let (emit, mesa) = (self.emit.bridge(&self.projects), self.mesa.bridge(&self.projects, &self.redis));
        let (inbox, reports) = (self.inbox.is_on().then(|| self.inbox.limits()), self.report_options());
        let options = self.redis.options(&self.node)?;
        Ok(options.map(|options| Options { emit, mesa, inbox, reports, ..options }))
    }

    /// The settings as a TOML document that gives the same settings, except for secrets, which are
    /// replaced by `***`.
    pub fn to_toml(&self) -> String {
        let text = toml::to_string(self).expect("settings that were read from TOML can be written as TOML");
        match self.mesa.sync.enabled {
            true => text.replacen(INBOX_ON, &format!("{INBOX_ON} # implied by mesa.sync.enabled"), 1),
            false => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(sets: &[&str]) -> Result<Config, ConfigError> {
        let sets: Vec<String> = sets.iter().map(|set| set.to_string()).collect();
        Config::load(None, &sets)
    }

    #[test]
    fn the_printed_settings_load_as_the_same_settings() {
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
    fn an_unknown_setting_is_reported_with_its_source_and_a_similar_name() {
        let error = with(&["limits.mesages_per_s=7"]).unwrap_err().to_string();
        let expected = "limits.mesages_per_s (--set limits.mesages_per_s): unknown setting\n\n\
                        hint: did you mean `messages_per_s`?";
        assert_eq!(error, expected);
    }

    #[test]
    fn a_value_of_the_wrong_type_is_reported_with_key_value_and_source() {
        let error = with(&["limits.messages_per_s=many"]).unwrap_err().to_string();
        let source = "(--set limits.messages_per_s)";
        let expected = format!("limits.messages_per_s is `many` {source}; expected a whole number");
        assert!(error.starts_with(&expected), "{error}");
    }

    #[test]
    fn an_error_in_a_file_names_its_line() {
        let scratch = switchboard_testkit::Scratch::new();
        let file = scratch.file("switchboard.toml");
        for (text, line) in [
            ("[limits]\n\nmessages_per_s = \"fast\"\n", 3),
            ("listen = \"127.0.0.1:0\"\n[limits]\nmesages_per_s = 1\n", 3),
            ("limits.heartbeat_interval_ms = 1\n", 1),
        ] {
            std::fs::write(&file, text).unwrap();
            let error = Config::load(Some(file.as_ref()), &[]).unwrap_err().to_string();
            assert!(error.contains(&format!("({file}:{line})")), "{text}: {error}");
        }
        std::fs::write(&file, "listen = \n").unwrap();
        let error = Config::load(Some(file.as_ref()), &[]).unwrap_err().to_string();
        assert!(error.starts_with(&file) && error.contains("line 1"), "{error}");
    }

    #[test]
    fn a_syntax_error_in_a_file_is_reported_without_the_line() {
        let scratch = switchboard_testkit::Scratch::new();
        let file = scratch.file("switchboard.toml");
        for value in
            ["\"s3cret", "s3cret", "[\"older\", s3cret]", "\"s3cret\" # one\njwt_secret = \"s3cret\""]
        {
            std::fs::write(&file, format!("[auth]\njwt_secret = {value}\n")).unwrap();
            let error = Config::load(Some(file.as_ref()), &[]).unwrap_err().to_string();
            assert!(error.starts_with(&file) && error.contains("line "), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn an_invalid_value_is_reported_with_a_hint() {
        let error = with(&["limits.heartbeat_interval_ms=200"]).unwrap_err().to_string();
        let expected = "limits.heartbeat_interval_ms is `200` (--set limits.heartbeat_interval_ms); \
                        expected 0 or at least 1000\n\nhint: ";
        assert!(error.starts_with(expected), "{error}");
        assert!(with(&["limits.heartbeat_interval_ms=0"]).is_ok());
        assert!(with(&["projects.default="]).is_err());
        for bad in ["listen", "=1", "a..b=1", "a b=1"] {
            assert!(matches!(with(&[bad]), Err(ConfigError::BadSet(_))), "{bad}");
        }
    }

    #[test]
    fn a_secret_is_one_string_or_a_list_and_is_never_shown() {
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

    #[test]
    fn a_named_project_overrides_single_settings() {
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
