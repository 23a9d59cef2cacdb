//! The banner: the open addresses, and the access that each one gives.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::net::SocketAddr;

use switchboard::ProjectId;
use switchboard::backplane::Backplane;
use switchboard::net::Origin;
use switchboard_redis::{LegacyPortals, Redis, ReportOptions};

use super::listeners::{Listeners, address};
use crate::apps::Mode;
use crate::config::{Access, Auth, Config, PageVisitors, ProjectSettings, TlsListener};

/// One line for each open address and each subsystem that is on.
pub(super) struct Banner<'a> {
    mode: Mode,
    config: &'a Config,
    redis: Option<&'a Redis>,
    clients: SocketAddr,
    internal: Option<SocketAddr>,
    mesa: Option<SocketAddr>,
    api: Option<SocketAddr>,
    redirect: Option<SocketAddr>,
}

impl<'a> Banner<'a> {
    pub(super) fn new(
        mode: Mode,
        config: &'a Config,
        redis: Option<&'a Redis>,
        listeners: &Listeners,
    ) -> Self {
        Banner {
            mode,
            config,
            redis,
            clients: listeners.clients_address(config),
            internal: address(listeners.internal.as_ref()),
            mesa: address(listeners.mesa.as_ref()),
            api: address(listeners.api.as_ref()),
            redirect: address(listeners.redirect.as_ref()),
        }
    }

    /// The beginning of an HTTP address of a listener.
    fn http(&self, listener: TlsListener) -> &'static str {
        if self.config.tls.covers(listener) { "https" } else { "http" }
    }

    /// The beginning of a WebSocket address of a listener.
    fn ws(&self, listener: TlsListener) -> &'static str {
        if self.config.tls.covers(listener) { "wss" } else { "ws" }
    }

    /// The page of `serve`.
    fn write_page(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let address = format!("{}://{}", self.http(TlsListener::Clients), self.clients);
        match self.config.page.show {
            PageVisitors::Local => {
                writeln!(f, "  page     {address}/  shown to browsers on this machine")
            }
            PageVisitors::Everyone => writeln!(f, "  page     {address}/  open to everyone"),
            PageVisitors::Off => Ok(()),
        }
    }

    fn write_pages(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let address = format!("{}://{}", self.http(TlsListener::Clients), self.clients);
        writeln!(f, "  page     {address}/  a demo: every visitor may use every name")?;
        writeln!(f, "  chat     {address}/chat/  (open it in two tabs)")?;
        if self.config.koji.enabled {
            writeln!(f, "  canvas   {address}/canvas/  (open it in five tabs)")?;
        }
        match switchboard_pages::EXAMPLES_MISSING {
            None => writeln!(f, "  examples {address}/examples/"),
            Some(reason) => writeln!(f, "  examples not in this build: {reason}"),
        }
    }

    fn write_protocols(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let config = self.config;
        let address = format!("{}://{}", self.ws(TlsListener::Clients), self.clients);
        let access = match &config.clients.allowed_origins {
            Some(origins) => {
                let origins: Vec<&str> = origins.iter().map(Origin::as_str).collect();
                format!("pages of {} and all programs", origins.join(", "))
            }
            None => "everyone".to_owned(),
        };
        let login = if config.is_open() { "; authentication is optional" } else { "" };
        writeln!(f, "  emit     {address}/  open to {access}{login}")?;
        if config.koji.enabled {
            let projects = &config.projects;
            let which = if projects.any { "any project".into() } else { project_list(&projects.named) };
            writeln!(f, "  koji     {address}/koji?projectId=…  open to {access}; {which}")?;
        }
        if let Some(own) = self.mesa {
            let (path, dispatchers, ws) = (&config.mesa.path, self.dispatchers(), self.ws(TlsListener::Mesa));
            writeln!(f, "  mesa     {address}{path}, {ws}://{own}/  open to {access}{dispatchers}")?;
        }
        Ok(())
    }

    /// The channel of the original Dispatchers, if they are received.
    fn dispatchers(&self) -> String {
        let bridge = self.redis.and(self.config.mesa.bridge(&self.config.projects, &self.config.redis));
        bridge
            .map(|bridge| format!("; original Dispatchers on channel {}", bridge.channel()))
            .unwrap_or_default()
    }

    fn write_access(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let config = self.config;
        let rule = match (config.effective_access(), config.has_rights()) {
            (Access::Open, false) => {
                "open: every client may do everything, unless its token has the claim `can`"
            }
            (Access::Open, true) => "open, except in projects with rights in `can`",
            (Access::Tokens, false) => "by tokens: a client may do what the claim `can` of its token allows",
            (Access::Tokens, true) => "by tokens, and by the rights of projects in `can`",
        };
        writeln!(f, "  access   {rule}")
    }

    fn write_tls(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (files, acme) = (self.config.tls.certificates.len(), &self.config.tls.acme);
        match (files, acme.is_on()) {
            (0, false) => return Ok(()),
            (0, true) => write!(f, "  tls      a certificate from {}", acme.directory)?,
            (1, false) => write!(f, "  tls      one certificate")?,
            (many, false) => write!(f, "  tls      {many} certificates")?,
            (many, true) => write!(f, "  tls      {many} in files, one from {}", acme.directory)?,
        }
        match self.redirect {
            Some(redirect) => writeln!(f, "; http://{redirect}/ redirects to the encrypted address"),
            None => writeln!(f),
        }
    }

    fn write_backends(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Banner { config, redis, .. } = self;
        if config.inbox.is_on() {
            let place = match redis {
                Some(_) => "Redis".to_owned(),
                None => config.inbox.path.display().to_string(),
            };
            writeln!(f, "  inbox    messages for offline users are stored in {place}")?;
        }
        if let Some(api) = self.api {
            let http = self.http(TlsListener::Api);
            writeln!(f, "  api      {http}://{api}/api/v1/  open to backends with a key")?;
            if config.console.enabled {
                writeln!(f, "  console  {http}://{api}/console/  open to operators with a key")?;
            }
        }
        writeln!(f, "  tokens   {}", describe_tokens(&config.auth))?;
        if let Some(redis) = redis {
            let (node, settings) = (redis.bus().node(), &config.redis);
            let (urls, prefix) = (settings.url.shown().join(", "), &settings.prefix);
            let state = if redis.bus().is_up() { "connected to" } else { "alone until it reaches" };
            writeln!(f, "  node     {node}, {state} Redis at {urls}, prefix {prefix}")?;
        }
        if let Some(reports) = config.report_options() {
            writeln!(f, "  reports  {}", describe_reports(&reports))?;
        }
        Ok(())
    }
}

impl Display for Banner<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "switchboard {} {}", env!("CARGO_PKG_VERSION"), self.mode.name())?;
        match self.mode {
            Mode::Demo => self.write_pages(f)?,
            Mode::Serve => self.write_page(f)?,
        }
        self.write_protocols(f)?;
        self.write_access(f)?;
        self.write_backends(f)?;
        let (health, http) = match self.internal {
            Some(internal) => (internal, self.http(TlsListener::Internal)),
            None => (self.clients, self.http(TlsListener::Clients)),
        };
        self.write_tls(f)?;
        writeln!(f, "  health   {http}://{health}/livez /readyz /metrics  open to everyone")?;
        if !self.config.limits.enabled {
            writeln!(f, "  limits   off: rates and numbers of connections are not limited")?;
        }
        if !self.clients.ip().is_loopback() {
            writeln!(f, "  warning  other machines can connect")?;
        }
        Ok(())
    }
}

fn project_list(projects: &BTreeMap<String, ProjectSettings>) -> String {
    match projects.len() {
        0 => "no project, because projects.named is empty".into(),
        1..=5 => format!("projects {}", projects.keys().map(String::as_str).collect::<Vec<_>>().join(", ")),
        many => format!("{many} projects"),
    }
}

fn describe_reports(reports: &ReportOptions) -> String {
    let projects: Vec<&str> = reports.projects.iter().map(ProjectId::as_str).collect();
    let originals = match &reports.legacy_portals {
        Some(LegacyPortals { namespace: Some(namespace), .. }) => {
            format!(" and to original Portals of namespace {namespace}")
        }
        Some(_) => " and to original Portals without a namespace".into(),
        None => String::new(),
    };
    format!("client actions of {} go to workers{originals}", projects.join(", "))
}

fn describe_tokens(tokens: &Auth) -> String {
    let counted = |count: usize, noun: &str| match count {
        0 => None,
        1 => Some(format!("one {noun}")),
        many => Some(format!("{many} {noun}s")),
    };
    let secrets = counted(tokens.jwt_secret.len(), "secret");
    let keys = counted(tokens.public_keys.len(), "public key");
    let issuers = counted(tokens.issuers.len(), "named issuer");
    let by: Vec<String> =
        secrets.into_iter().chain(keys).chain(tokens.jwks_url.clone()).chain(issuers).collect();
    match by.is_empty() {
        true => "all refused: auth.jwt_secret, auth.public_keys, auth.jwks_url and auth.issuers are not set"
            .into(),
        false => format!("verified with {}", by.join(", ")),
    }
}
