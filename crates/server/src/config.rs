//! Settings: a TOML file, then the environment, then flags; each overrides the one before.
//!
//! Each section is a file with its defaults and its checks. The doc comments of the fields are also the
//! text of `docs/reference/settings.md`.

mod access;
mod api;
mod auth;
mod clients;
mod differences;
mod emit;
mod environment;
mod error;
mod explain;
mod file;
mod flag;
mod hosts;
mod inbox;
mod internal;
mod issuer;
mod koji;
mod listeners;
mod mesa;
mod no_effect;
mod page;
mod process;
mod projects;
mod read;
mod redis;
mod reports;
mod secret;
mod sources;
mod toml_file;
mod tree;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchboard::{AcceptOptions, Limits, Protocol};
use switchboard_redis::{Options, ReportOptions};

pub use access::Access;
pub(crate) use access::ProjectRights;
pub use api::Api;
pub use auth::Auth;
pub use clients::{Clients, ForwardedHeader};
pub use emit::{Emit, EmitReports};
pub use error::{ConfigError, InvalidSetting};
pub use inbox::Inbox;
pub use internal::Internal;
pub use issuer::Issuer;
pub use koji::{Koji, KojiReports};
pub use mesa::{Mesa, MesaAuthentication, MesaHeartbeat, MesaPortal, MesaReconnect, MesaSync};
pub use page::{Page, PageVisitors};
pub use process::{Log, LogFormat, Stop};
pub(crate) use projects::SharedRules;
pub use projects::{Can, Limit, ProjectSettings, Projects};
pub use redis::{Addresses, Node, Redis, RedisMode};
pub use reports::Reports;
pub use secret::{Secret, Secrets};
pub(crate) use sources::Origin;
pub use sources::Sources;

use access::Exposure;
use no_effect::NoEffect;
use reports::ReportedClients;
use sources::Merged;

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
    /// `open`: a client may do everything, unless its token has the claim `can` or the project has rights in
    /// `projects.…can`. `tokens`: a client may do only what these allow. Default: `open` if only this machine can
    /// connect. If `listen` or `mesa.listen` is another than a loopback address, or there are `clients.trusted_proxies`:
    /// `tokens`, and the server starts only with a key in `auth` or with rights in `projects`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
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
    /// The page of `serve` at `/`.
    pub page: Page,
    /// The log.
    pub log: Log,
    /// The shutdown.
    pub stop: Stop,
}

/// Checked settings, and what the operator should know about them.
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// One line for each setting that is set and has no effect.
    pub warnings: Vec<String>,
    merged: Merged,
}

impl Loaded {
    /// Which sources gave the settings.
    pub(crate) fn origin(&self) -> &Origin {
        &self.merged.origin
    }

    /// Environment variables with the prefix of settings that an orchestrator has set. They are ignored.
    pub fn foreign_variables(&self) -> &[String] {
        &self.merged.foreign_variables
    }

    /// Checks that clients of other machines are not let in by accident.
    pub fn check_access(&self) -> Result<(), ConfigError> {
        self.config.exposure().check().map_err(|invalid| self.merged.locate(invalid).into())
    }

    /// Checks the folders of the files that the server creates. Together with loading, this is all that the
    /// server checks before it opens sockets and files.
    pub fn check_files(&self) -> Result<(), ConfigError> {
        let Config { inbox, redis, .. } = &self.config;
        let checked = if redis.url.is_empty() { inbox.check_folder() } else { Ok(()) };
        checked.map_err(|invalid| self.merged.locate(invalid).into())
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 3000)),
            access: None,
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
            page: Page::default(),
            log: Log::default(),
            stop: Stop::default(),
        }
    }
}

impl Config {
    /// A settings file with every setting, its default behind a `#`, and an explanation. Generated from the doc comments.
    pub const ANNOTATED: &str = include_str!("config/annotated.toml");

    /// Reads and checks the settings. `flags` are `section.key=value` and override all other sources.
    pub fn load(file: Option<&Path>, flags: &[String]) -> Result<Config, ConfigError> {
        Ok(Config::load_from(&Sources::new(file, flags))?.config)
    }

    /// [`load`](Self::load), with what the operator should know about the settings.
    pub fn load_from(sources: &Sources) -> Result<Loaded, ConfigError> {
        let merged = sources.read()?;
        let mut config: Config = merged.extract()?;
        config.inbox.imply(config.mesa.sync.enabled);
        config.check().map_err(|invalid| merged.locate(invalid))?;
        let (effective, defaults) = (config.table(), Config::default().table());
        let warnings = no_effect::warnings(&config.no_effect(), &merged, &effective, &defaults);
        Ok(Loaded { config, warnings, merged })
    }

    fn table(&self) -> toml::Table {
        toml::Table::try_from(self).expect("settings that were read from TOML can be written as TOML")
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
        self.check_listeners()?;
        self.internal.check()?;
        self.log.check()?;
        self.clients.check()?;
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

    fn check_listeners(&self) -> Result<(), InvalidSetting> {
        let Config { internal, mesa, api, .. } = self;
        let all = [
            ("listen", Some(self.listen)),
            ("internal.listen", internal.listen),
            ("mesa.listen", mesa.enabled.then_some(mesa.listen)),
            ("api.listen", api.is_on().then_some(api.listen)),
        ];
        let open: Vec<_> = all.into_iter().filter_map(|(key, address)| Some((key, address?))).collect();
        listeners::check(&open)
    }

    /// The settings that would have no effect if they were set.
    fn no_effect(&self) -> Vec<NoEffect> {
        let inbox_is_on = self.inbox.is_on();
        let limits = || {
            let lifted = Config { limits: self.limits.clone().effective(), ..self.clone() };
            NoEffect::of(&self.differences(&lifted), "limits.enabled is `false`")
        };
        let mut rules = self.mesa.no_effect(inbox_is_on);
        rules.extend(self.redis.no_effect());
        rules.extend(self.auth.no_effect());
        rules.extend(
            [
                (!self.limits.enabled).then(limits),
                self.api.no_effect(),
                self.internal.no_effect(),
                self.emit.no_effect(),
                self.koji.no_effect(),
                self.inbox.no_effect(!self.redis.url.is_empty()),
                self.reports.no_effect(&self.reported()),
            ]
            .into_iter()
            .flatten(),
        );
        rules
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

    /// Which clients may connect, as an option of the framework.
    pub(crate) fn accept_options(&self) -> AcceptOptions {
        self.clients.options(self.auth.cookie.as_deref())
    }

    /// Returns true if every client may do everything, unless its token has the claim `can`.
    pub(crate) fn is_open(&self) -> bool {
        self.access_rule().is_none()
    }

    fn exposure(&self) -> Exposure<'_> {
        let mesa = self.mesa.enabled.then_some(("mesa.listen", self.mesa.listen));
        Exposure {
            access: self.access,
            listeners: [("listen", self.listen)].into_iter().chain(mesa).collect(),
            has_proxies: !self.clients.trusted_proxies.is_empty(),
            has_keys: self.auth.accepts_tokens(),
            projects: &self.projects,
        }
    }

    /// The setting `access`, or its default.
    pub(crate) fn effective_access(&self) -> Access {
        self.exposure().access()
    }

    /// Returns true if rights are set for a project.
    pub(crate) fn has_rights(&self) -> bool {
        self.projects.has_rights()
    }

    /// The rule of what clients may do; `None` if every client may do everything.
    pub(crate) fn access_rule(&self) -> Option<ProjectRights> {
        ProjectRights::new(&self.projects, self.effective_access())
    }

    /// These settings with those of `loaded` that can be applied to a running server.
    pub(crate) fn reloaded(&self, loaded: &Config) -> Config {
        let mut next = self.clone();
        next.access = loaded.access;
        next.limits = loaded.limits.clone();
        next.limits.heartbeat_interval = self.limits.heartbeat_interval;
        next.clients = loaded.clients.clone();
        next.auth = loaded.auth.clone();
        next.log.filter = loaded.log.filter.clone();
        if self.api.is_on() {
            next.api.keys = loaded.api.keys.clone();
            next.api.requests_per_second = loaded.api.requests_per_second;
        }
        // Reports need the list of their projects at the start.
        if !self.koji.reports.enabled || self.projects.named.keys().eq(loaded.projects.named.keys()) {
            next.projects = Projects { default: self.projects.default.clone(), ..loaded.projects.clone() };
        }
        next
    }

    /// The keys whose values differ, sorted. No value is part of the result, so secrets are not, either.
    pub(crate) fn differences(&self, other: &Config) -> Vec<String> {
        let mut keys = differences::differences(&self.table(), &other.table());
        // Different secrets are shown alike.
        let secrets = [
            ("api.keys", self.api.keys != other.api.keys),
            ("redis.sentinel_password", self.redis.sentinel_password != other.redis.sentinel_password),
            ("redis.url", self.redis.url != other.redis.url),
        ];
        keys.extend(secrets.into_iter().filter(|(_, differ)| *differ).map(|(key, _)| key.to_owned()));
        let others = other.auth.secrets();
        let differing = |(key, secrets): &(String, _)| others.get(key) != Some(secrets);
        keys.extend(self.auth.secrets().into_iter().filter(differing).map(|(key, _)| key));
        keys.sort();
        keys.dedup();
        keys
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
    fn a_list_in_place_of_a_section_is_refused() {
        let scratch = switchboard_testkit::Scratch::new();
        let file = scratch.file("switchboard.toml");
        for (text, key) in [
            ("limits = [false, 5]", "limits"),
            ("limits = []", "limits"),
            ("[[limits]]\nmessages_per_s = 5", "limits"),
            ("[mesa]\nheartbeat = [true]", "mesa.heartbeat"),
            ("[projects]\nnamed = [[\"a\"]]", "projects.named"),
            ("projects.named.a = [true]", "projects.named.a"),
        ] {
            std::fs::write(&file, text).unwrap();
            let error = Config::load(Some(file.as_ref()), &[]).expect_err(text).to_string();
            assert!(error.starts_with(&format!("{key} is ")), "{text}: {error}");
            assert!(error.contains("expected a section with settings"), "{text}: {error}");
        }
        assert!(with(&["limits=[false, 5]"]).is_err());
    }

    #[test]
    fn a_value_in_place_of_a_section_with_secrets_is_not_shown() {
        let scratch = switchboard_testkit::Scratch::new();
        let file = scratch.file("switchboard.toml");
        for key in ["auth", "api", "auth.issuers", "auth.issuers.chess"] {
            for value in ["\"s3cret\"", "[\"s3cret\"]", "[[\"s3cret\"]]"] {
                std::fs::write(&file, format!("{key} = {value}\n")).unwrap();
                let error = Config::load(Some(file.as_ref()), &[]).expect_err(value).to_string();
                assert!(error.starts_with(&format!("{key} is `***` ({file}:1)")), "{error}");
                assert!(!error.contains("s3cret"), "{error}");
            }
            let error = with(&[&format!("{key}=s3cret")]).unwrap_err().to_string();
            assert!(error.contains(key) && !error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn an_error_in_a_project_whose_id_contains_a_dot_names_value_and_source() {
        let scratch = switchboard_testkit::Scratch::new();
        let file = scratch.file("switchboard.toml");
        std::fs::write(&file, "[projects.named.\"a.b\"]\ncapacity_max = \"many\"\n").unwrap();
        let error = Config::load(Some(file.as_ref()), &[]).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("projects.named.a.b.capacity_max is `many` ({file}:2)")),
            "{error}"
        );
    }

    #[test]
    fn an_error_in_an_inline_table_of_a_flag_names_the_flag() {
        for (set, key) in [
            ("limits={messages_per_s = \"many\"}", "limits.messages_per_s"),
            ("limits={mesages_per_s = 7}", "limits.mesages_per_s"),
            ("mesa={heartbeat = {interval_ms = 0}}", "mesa.heartbeat.interval_ms"),
        ] {
            let error = with(&[set]).unwrap_err().to_string();
            let flag = set.split_once('=').unwrap().0;
            assert!(error.starts_with(key) && error.contains(&format!("(--set {flag})")), "{error}");
        }
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
        for (value, secrets) in [
            ("a s3cret of more than 32 bytes, so long", &["a s3cret of more than 32 bytes, so long"][..]),
            ("0012345678901234567890123456789012", &["0012345678901234567890123456789012"]),
            ("+1234567890123456789012345678901234", &["+1234567890123456789012345678901234"]),
            (" s3cret with blanks at both its ends ", &[" s3cret with blanks at both its ends "]),
            ("[s3cret,and,no,list,without,quotes]", &["[s3cret,and,no,list,without,quotes]"]),
            ("[1234567890123456, 1234567890123456]", &["[1234567890123456, 1234567890123456]"]),
            ("{a = \"s3cret in something like a table\"}", &["{a = \"s3cret in something like a table\"}"]),
            ("\"s3cret in quotes, which belong to it\"", &["\"s3cret in quotes, which belong to it\""]),
            (
                "[\"s3cret that is the newer of both, 1\", \"s3cret that is the older of both, 2\"]",
                &["s3cret that is the newer of both, 1", "s3cret that is the older of both, 2"],
            ),
        ] {
            let config = with(&[&format!("auth.jwt_secret={value}")]).unwrap();
            let read: Vec<&str> = config.auth.jwt_secret.iter().map(Secret::reveal).collect();
            assert_eq!(read, secrets, "{value}");
            let shown = format!("{config:?}{}", config.to_toml());
            assert!(!shown.contains("s3cret") && !shown.contains("12345"), "{shown}");
            assert!(config.auth.verifier().unwrap().is_some());
        }
        for bad in ["auth.jwt_secret=", "auth.jwks_url=ftp://x", "auth.public_keys=[\"x\"]"] {
            let error = with(&[bad]).unwrap_err().to_string();
            assert!(error.contains(bad.split_once('=').unwrap().0), "{error}");
        }
        assert!(with(&[]).unwrap().auth.verifier().unwrap().is_none());
    }

    #[test]
    fn a_secret_in_a_file_is_a_string_in_quotes() {
        let scratch = switchboard_testkit::Scratch::new();
        let file = scratch.file("switchboard.toml");
        for (value, secrets) in [
            ("\"0012345678901234567890123456789012\"", &["0012345678901234567890123456789012"][..]),
            ("'[abc,def] is a secret, and not a list'", &["[abc,def] is a secret, and not a list"]),
            ("\"[\\\"one\\\", \\\"two\\\"] is no list either\"", &["[\"one\", \"two\"] is no list either"]),
        ] {
            std::fs::write(&file, format!("[auth]\njwt_secret = {value}\n")).unwrap();
            let config = Config::load(Some(file.as_ref()), &[]).unwrap();
            assert_eq!(
                config.auth.jwt_secret.iter().map(Secret::reveal).collect::<Vec<_>>(),
                secrets,
                "{value}"
            );
        }
        for (key, value) in [
            ("auth.jwt_secret", "12345678901234"),
            ("auth.jwt_secret", "99999999999999999999999999"),
            ("auth.jwt_secret", "1234567e8"),
            ("auth.jwt_secret", "true"),
            ("auth.jwt_secret", "[\"1234567\", 1234567]"),
            ("auth.jwt_secret", "1234-05-06T07:08:09Z"),
            ("auth.issuers.chess.jwt_secret", "12345678901234"),
            ("api.keys", "12345678901234567"),
            ("redis.sentinel_password", "1234567"),
            ("redis.url", "1234567"),
        ] {
            std::fs::write(&file, format!("{key} = {value}\n")).unwrap();
            let error = Config::load(Some(file.as_ref()), &[]).unwrap_err().to_string();
            assert!(error.contains(&file) && error.contains('1'), "{key} = {value}: {error}");
            assert!(!error.contains("1234") && !error.contains("9999"), "{key} = {value}: {error}");
            if value == "12345678901234" {
                let expected = format!("{key} is `***` ({file}:1); expected a string or a list of strings");
                assert_eq!(error, format!("{expected}\n\nhint: put it in quotes"));
            }
        }
    }

    #[test]
    fn every_text_setting_is_read_as_it_is() {
        for text in ["0012", "1.10", "1e5", "true", "+5", "[x]"] {
            let set = |key: &str| format!("{key}={text}");
            let config = with(&[
                &set("mesa.namespace"),
                &set("mesa.enforce_equal_versions"),
                &set("projects.default"),
                &set("auth.issuer"),
                &set("auth.audience"),
                &set("emit.bridge_prefix"),
                &set("redis.prefix"),
                &set("inbox.path"),
                "inbox.enabled=true",
            ])
            .unwrap();
            let Config { mesa, projects, auth, emit, redis, inbox, .. } = &config;
            assert_eq!((mesa.namespace.as_deref(), &*projects.default), (Some(text), text));
            assert_eq!(mesa.enforce_equal_versions.as_deref(), Some(text));
            assert_eq!((auth.issuer.as_deref(), auth.audience.as_deref()), (Some(text), Some(text)));
            assert_eq!((&*emit.bridge_prefix, &*redis.prefix), (text, text));
            assert_eq!(inbox.path.to_str(), Some(text));
            assert_eq!(toml::from_str::<Config>(&config.to_toml()).unwrap(), config);
        }
    }

    #[test]
    fn a_section_can_be_set_as_an_inline_table() {
        let config = with(&[
            "limits.messages_per_s=7",
            "limits={bytes_per_s = 8}",
            "projects.named={\"team: red\" = {capacity_max = 3}}",
            "redis={url = \"redis://h\", prefix = \"p\"}",
        ])
        .unwrap();
        assert_eq!((config.limits.messages_per_s, config.limits.bytes_per_s), (Some(7), Some(8)));
        assert_eq!(config.projects.named["team: red"].capacity_max, Some(3));
        assert_eq!((config.redis.url.shown(), &*config.redis.prefix), (vec!["redis://h".to_owned()], "p"));
        let error = with(&["limits={mesages_per_s = 1}"]).unwrap_err().to_string();
        assert!(error.contains("limits.mesages_per_s") && error.contains("`messages_per_s`"), "{error}");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_reported_with_its_path() {
        let scratch = switchboard_testkit::Scratch::new();
        let error = Config::load(Some(scratch.file("missing").as_ref()), &[]).unwrap_err();
        assert!(matches!(&error, ConfigError::NoFile { path, .. } if path.ends_with("missing")), "{error:?}");
        assert!(error.to_string().contains("expected the path of a TOML file"), "{error}");
        let folder = scratch.file("");
        assert!(matches!(Config::load(Some(folder.as_ref()), &[]), Err(ConfigError::NoFile { .. })));
        let latin1 = scratch.file("latin1");
        std::fs::write(&latin1, b"# \xe9\n").unwrap();
        let error = Config::load(Some(latin1.as_ref()), &[]).unwrap_err();
        assert!(matches!(&error, ConfigError::NotText(path) if *path == latin1), "{error:?}");
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
    fn every_limit_that_limits_enabled_lifts_is_reported_without_effect() {
        let settings = toml::Table::try_from(Limits::default()).unwrap();
        let numbers = settings.into_iter().filter(|(_, value)| value.is_integer() || value.is_str());
        let limits: toml::Table = numbers.map(|(name, _)| (name, 4999.into())).collect();
        let limits: Limits = limits.try_into().unwrap();
        let without = toml::Table::try_from(limits.without_rates().effective()).unwrap();
        let lifted = without.iter().filter(|(_, value)| value.is_str()).map(|(name, _)| name);
        let (mut sets, keys): (Vec<String>, Vec<String>) =
            lifted.map(|name| (format!("limits.{name}=4999"), format!("limits.{name}"))).unzip();
        assert!(keys.len() >= 6, "{keys:?}");
        sets.push("limits.enabled=false".into());
        let warnings = Config::load_from(&Sources::new(None, &sets)).ok().unwrap().warnings;
        let mut named: Vec<&str> = warnings.iter().filter_map(|warning| warning.split(' ').next()).collect();
        named.sort();
        assert_eq!(named, keys);
    }

    #[test]
    fn a_reload_takes_what_a_running_server_can_apply_and_names_the_rest() {
        let running = with(&["api.keys=0123456789abcdef"]).unwrap();
        let loaded = with(&[
            "api.keys=fedcba9876543210",
            "api.requests_per_second=5",
            "api.body_bytes_max=5",
            "auth.jwt_secret=a secret of this test, and long enough",
            "clients.allowed_origins=https://a.example",
            "clients.trusted_proxies=10.0.0.1",
            "limits.messages_per_s=5",
            "limits.heartbeat_interval_ms=5000",
            "log.filter=warn",
            "log.format=json",
            "projects.named.game.capacity_max=5",
            "projects.default=game",
            "redis=redis://h",
            "stop.window_ms=5",
        ])
        .unwrap();
        let next = running.reloaded(&loaded);
        let applied = [
            "api.keys",
            "api.requests_per_second",
            "auth.jwt_secret",
            "clients.allowed_origins",
            "clients.trusted_proxies",
            "limits.messages_per_s",
            "log.filter",
            "projects.named.game.capacity_max",
        ];
        assert_eq!(running.differences(&next), applied);
        let waiting = [
            "api.body_bytes_max",
            "limits.heartbeat_interval_ms",
            "log.format",
            "projects.default",
            "redis.url",
            "stop.window_ms",
        ];
        assert_eq!(next.differences(&loaded), waiting);
        assert_eq!(next.reloaded(&next), next);
        assert_eq!(next.differences(&next), [""; 0]);
    }

    #[test]
    fn what_has_no_listener_or_no_queue_waits_for_the_next_start() {
        let off = with(&[]).unwrap();
        let on = with(&["api.keys=0123456789abcdef"]).unwrap();
        assert_eq!(off.reloaded(&on).differences(&on), ["api.keys"], "the API has no listener");
        assert_eq!(on.reloaded(&off), off, "a listener without keys refuses all");
        let reports = ["redis=redis://h", "koji.reports.enabled=true"];
        let one = with(&[&reports[..], &["projects.named.one.capacity_max=1"]].concat()).unwrap();
        let changed = with(&[&reports[..], &["projects.named.one.capacity_max=2"]].concat()).unwrap();
        assert_eq!(one.reloaded(&changed), changed);
        let two = with(&[&reports[..], &["projects.named.two.capacity_max=2"]].concat()).unwrap();
        assert_eq!(one.reloaded(&two), one, "reports know their projects from the start");
    }
}
