//! Settings: a TOML file, then the environment, then flags; each overrides the one before.
//!
//! Each section has a file with its defaults and its checks; small ones share one. The doc comments of the fields are
//! also the text of `docs/reference/settings.md`.

mod access;
mod acme;
mod annotated;
mod api;
mod api_keys;
mod auth;
mod callee;
mod clients;
mod console;
mod emit;
mod environment;
mod error;
mod explain;
mod file;
mod flag;
mod handlers;
mod history;
mod hooks;
mod hosts;
mod inbox;
mod internal;
mod issuer;
mod koji;
mod listeners;
mod mesa;
mod no_effect;
mod overflow;
mod page;
mod process;
mod projects;
mod read;
mod redis;
mod reload;
mod reports;
mod resume;
mod secret;
mod shown;
mod sources;
mod tls;
mod toml_file;
mod traces;
mod tree;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchboard::net::AcceptOptions;
use switchboard::{Limits, Protocol};
use switchboard_hooks::{HandlerOptions, WebhookOptions};
use switchboard_redis::{Options, ReportOptions};

pub use access::Access;
pub(crate) use access::ProjectRights;
pub use acme::TlsAcme;
pub use api::Api;
pub(crate) use api_keys::digest_of_hash;
pub use api_keys::{ApiScope, NamedKey};
pub use auth::Auth;
pub use clients::{Clients, ForwardedHeader};
pub use console::Console;
pub use emit::{Emit, EmitReports};
pub use error::{ConfigError, InvalidSetting};
pub use handlers::{Failure, HandlerBackend, Handlers};
pub use history::{History, RoomHistory};
pub use hooks::{HookEndpoint, Hooks};
pub use inbox::Inbox;
pub use internal::Internal;
pub use issuer::Issuer;
pub use koji::{Koji, KojiReports};
pub use mesa::{Mesa, MesaAuthentication, MesaHeartbeat, MesaPortal, MesaReconnect, MesaSync};
pub use overflow::{Overflow, RoomOverflow, RoomPolicy};
pub use page::{Page, PageVisitors};
pub use process::{Log, LogFormat, Stop};
pub(crate) use projects::SharedRules;
pub use projects::{Can, Limit, ProjectSettings, Projects};
pub use redis::{Addresses, Node, Redis, RedisMode};
pub use reports::Reports;
pub use resume::Resume;
pub use secret::{Secret, Secrets};
pub(crate) use sources::Origin;
pub use sources::Sources;
pub(crate) use tls::TlsFiles;
pub use tls::{Tls, TlsCertificate, TlsFileError, TlsListener};
pub use traces::Traces;

use access::Exposure;
use no_effect::NoEffect;
use reports::ReportedClients;
use sources::Merged;

/// The inbox's switch as [`Config::to_toml`] writes it, at the beginning of its section.
const INBOX_ON: &str = "[inbox]\nenabled = true";

/// Smallest permitted `limits.header_bytes_max`.
const HEADER_BYTES_MIN: usize = 1024;

/// Largest permitted `worker_threads`.
const WORKER_THREADS_MAX: usize = 1024;

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
    /// Number of threads, at most 1,024, that share the connections of clients; 0 starts one for each core. Default 0.
    pub worker_threads: usize,
    /// TLS of the listeners.
    pub tls: Tls,
    /// Health checks and metrics.
    pub internal: Internal,
    /// Client connections.
    pub clients: Clients,
    /// Limits on connections, messages, queues and durations.
    pub limits: Limits,
    /// The HTTP API for backends.
    pub api: Api,
    /// The console for operators.
    pub console: Console,
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
    /// Recent messages that rooms keep.
    pub history: History,
    /// What becomes of messages at receivers that are too slow.
    pub overflow: Overflow,
    /// Reports of client actions to workers.
    pub reports: Reports,
    /// Webhooks: reports of client actions to HTTP endpoints.
    pub hooks: Hooks,
    /// Handlers over HTTP: backends that answer events of clients.
    pub handlers: Handlers,
    /// Projects and their rules.
    pub projects: Projects,
    /// Redis, which connects the nodes.
    pub redis: Redis,
    /// This node in the cluster.
    pub node: Node,
    /// Sessions that outlive their connections.
    pub resume: Resume,
    /// Traces: the recorded path of single messages.
    pub traces: Traces,
    /// The page of `serve` at `/`.
    pub page: Page,
    /// The log.
    pub log: Log,
    /// The shutdown.
    pub stop: Stop,
}

/// Checked settings, with notes for the operator.
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

    /// Checks the folders of the files that the server creates, and the certificates. Together with loading, this is all that the
    /// server checks before it opens sockets and files.
    pub fn check_files(&self) -> Result<(), ConfigError> {
        let Config { api, hooks, inbox, redis, tls, .. } = &self.config;
        let is_single_node = redis.url.is_empty();
        let checked = if is_single_node { inbox.check_folder() } else { Ok(()) };
        checked
            .and_then(|()| if is_single_node { hooks.check_folder() } else { Ok(()) })
            .and_then(|()| tls.check_files())
            .and_then(|()| api.check_files())
            .map_err(|invalid| self.merged.locate(invalid).into())
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 3000)),
            access: None,
            worker_threads: 0,
            tls: Tls::default(),
            internal: Internal::default(),
            clients: Clients::default(),
            limits: Limits::default(),
            api: Api::default(),
            console: Console::default(),
            auth: Auth::default(),
            emit: Emit::default(),
            koji: Koji::default(),
            mesa: Mesa::default(),
            inbox: Inbox::default(),
            history: History::default(),
            overflow: Overflow::default(),
            reports: Reports::default(),
            hooks: Hooks::default(),
            handlers: Handlers::default(),
            projects: Projects::default(),
            redis: Redis::default(),
            node: Node::default(),
            resume: Resume::default(),
            traces: Traces::default(),
            page: Page::default(),
            log: Log::default(),
            stop: Stop::default(),
        }
    }
}

impl Config {
    /// A settings file with every setting, its default behind a `#`, and an explanation. Generated from the doc comments.
    pub const ANNOTATED: &str = annotated::TEXT;

    /// Reads and checks the settings. `flags` are `section.key=value` and override all other sources.
    pub fn load(file: Option<&Path>, flags: &[String]) -> Result<Config, ConfigError> {
        Ok(Config::load_from(&Sources::new(file, flags))?.config)
    }

    /// [`load`](Self::load), with notes for the operator.
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
        self.tls.check()?;
        self.internal.check()?;
        self.log.check()?;
        self.clients.check()?;
        self.api.check()?;
        self.console.check()?;
        self.api.check_client_ca(self.tls.covers(TlsListener::Api))?;
        self.emit.check(&self.redis)?;
        self.koji.check()?;
        self.mesa.check(&self.redis, &self.koji, self.inbox.is_on())?;
        self.inbox.check(self.mesa.sync.enabled)?;
        self.history.check()?;
        self.overflow.check()?;
        self.projects.check()?;
        self.redis.check(&self.node)?;
        self.reports.check(&self.reported())?;
        self.resume.check()?;
        self.traces.check()?;
        self.hooks.check(&self.projects)?;
        self.handlers.check()?;
        self.auth.check()?;
        self.check_worker_threads()
    }

    fn check_worker_threads(&self) -> Result<(), InvalidSetting> {
        if self.worker_threads <= WORKER_THREADS_MAX {
            return Ok(());
        }
        let problem = format!("expected at most {WORKER_THREADS_MAX}; more threads than cores gain nothing");
        Err(InvalidSetting::new("worker_threads", &problem))
    }

    fn check_listeners(&self) -> Result<(), InvalidSetting> {
        let Config { internal, mesa, api, tls, .. } = self;
        let all = [
            ("listen", Some(self.listen)),
            ("internal.listen", internal.listen),
            ("mesa.listen", mesa.enabled.then_some(mesa.listen)),
            ("api.listen", api.is_on().then_some(api.listen)),
            ("tls.redirect_listen", tls.redirect_listen.filter(|_| tls.is_on())),
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
                self.console.no_effect(self.api.is_on()),
                self.tls.no_effect(),
                self.internal.no_effect(),
                self.emit.no_effect(),
                self.hooks.no_effect(self.redis.url.is_empty()),
                self.koji.no_effect(),
                self.inbox.no_effect(!self.redis.url.is_empty()),
                self.history.no_effect(!self.redis.url.is_empty()),
                self.reports.no_effect(&self.reported()),
                self.resume.no_effect(),
                self.traces.no_effect(),
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
        let webhooks = self.hooks.streams(&self.projects, &self.reports);
        Ok(options.map(|options| Options {
            emit,
            mesa,
            inbox,
            history: self.history.is_on(),
            reports,
            webhooks,
            ..options
        }))
    }

    /// The webhooks; `None` without endpoints.
    pub fn webhooks(&self) -> Result<Option<WebhookOptions>, ConfigError> {
        Ok(self.hooks.options(&self.projects)?)
    }

    /// The backends that answer events of clients.
    pub fn http_handlers(&self) -> Result<Vec<HandlerOptions>, ConfigError> {
        Ok(self.handlers.options()?)
    }

    /// Which clients may connect, as an option of the framework.
    pub(crate) fn accept_options(&self) -> AcceptOptions {
        let kept_headers = self.handlers.headers().collect();
        AcceptOptions { kept_headers, ..self.clients.options(self.auth.cookie.as_deref()) }
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

/// The settings of flags alone.
#[cfg(test)]
fn with(sets: &[&str]) -> Result<Config, ConfigError> {
    let sets: Vec<String> = sets.iter().map(|set| set.to_string()).collect();
    Config::load(None, &sets)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
