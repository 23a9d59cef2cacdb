//! Reads the settings again, on SIGHUP or for the HTTP API, and applies them to the running server.
//!
//! Settings that cannot be applied to a running server keep their values, and the log and the answer name them. If the
//! new settings are invalid, all settings keep their values.

use std::collections::BTreeMap;
use std::sync::Arc;

use metrics::counter;
use switchboard::App;
use switchboard::access::{AccessRule, Verifier};
use switchboard_log::{limited, printable, with_causes};
use tokio::sync::mpsc;

use crate::api::SharedKeys;
use crate::apps::Mode;
use crate::config::{Config, ConfigError, Loaded, SharedRules, Sources};
use crate::log::LogControl;
use crate::node_answers::SettingsHash;
use crate::reload_handle::{
    ReloadOutcome, ReloadRequests, Reloaded, SettingsRequest, SettingsView, ShownSetting,
};
use crate::tls::{ServerTls, TlsError};

use super::host_check::Hosts;
use super::service_manager::ServiceManager;

/// A running server, as far as its settings can be replaced.
pub(super) struct Reloader {
    pub(super) sources: Sources,
    pub(super) mode: Mode,
    /// The settings in effect.
    pub(super) config: Config,
    /// The source of each setting that is set.
    pub(super) sources_of: BTreeMap<String, String>,
    pub(super) settings_hash: SettingsHash,
    pub(super) app: App,
    pub(super) rules: SharedRules,
    pub(super) keys: Arc<SharedKeys>,
    /// None if the server started without TLS.
    pub(super) tls: Option<Arc<ServerTls>>,
    pub(super) hosts: SharedHosts,
    /// None if the process has a log of its own.
    pub(super) log: Option<LogControl>,
    pub(super) notifier: Arc<ServiceManager>,
}

/// The host names of the listeners that check them.
pub(super) struct SharedHosts {
    pub(super) api: Arc<Hosts>,
    pub(super) internal: Arc<Hosts>,
}

impl SharedHosts {
    pub(super) fn new(config: &Config) -> Self {
        SharedHosts {
            api: Hosts::new(&config.api.hosts, "api.hosts"),
            internal: Hosts::new(&config.internal.hosts, "internal.hosts"),
        }
    }
}

/// Why the settings were not read again.
#[derive(Debug, thiserror::Error)]
enum ReloadError {
    #[error("the configuration file is a pipe, which can be read only once")]
    Pipe,
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Reloader {
    /// Reloads the settings for each signal and each request. Ends with the watch for signals.
    pub(super) async fn run(mut self, mut signals: mpsc::Receiver<()>, mut requests: ReloadRequests) {
        loop {
            tokio::select! {
                signal = signals.recv() => match signal {
                    Some(()) => drop(self.reload_and_report()),
                    None => return,
                },
                // A handle lives as long as the routes of the API. An answer fails if the client has disconnected.
                Some(request) = requests.recv() => match request {
                    SettingsRequest::Reload(answer) => drop(answer.send(self.reload_and_report())),
                    SettingsRequest::Show(answer) => drop(answer.send(self.show())),
                },
            }
        }
    }

    /// The settings in effect, and what a reload would change.
    fn show(&self) -> SettingsView {
        let settings = self.config.shown().into_iter().map(|(key, value)| ShownSetting {
            source: self.sources_of.get(&key).cloned(),
            key,
            value,
        });
        let reload = self.load().map(|loaded| {
            let loaded = self.mode.adapt(loaded.config);
            let next = self.config.reloaded(&loaded);
            Reloaded { applied: self.config.differences(&next), needs_restart: next.differences(&loaded) }
        });
        SettingsView { settings: settings.collect(), reload: reload.map_err(|error| in_one_line(&error)) }
    }

    /// Reloads the settings, and logs and counts the outcome.
    fn reload_and_report(&mut self) -> ReloadOutcome {
        self.notifier.reloading();
        let reloaded = self.reload().map_err(|error| {
            let error = in_one_line(&error);
            limited!(
                ERROR,
                error = printable(&error),
                "settings not reloaded; the previous ones stay in effect"
            );
            error
        });
        let outcome = if reloaded.is_ok() { "applied" } else { "failed" };
        counter!("switchboard_settings_reloads_total", "outcome" => outcome).increment(1);
        self.notifier.ready();
        reloaded
    }

    fn load(&self) -> Result<Loaded, ReloadError> {
        if !self.sources.can_be_read_again() {
            return Err(ReloadError::Pipe);
        }
        let loaded = Config::load_from(&self.sources)?;
        if self.mode == Mode::Serve {
            loaded.check_access()?;
        }
        Ok(loaded)
    }

    fn reload(&mut self) -> Result<Reloaded, ReloadError> {
        let loaded = self.load()?;
        let sources_of = loaded.sources();
        let Loaded { config: loaded, warnings, .. } = loaded;
        let loaded = self.mode.adapt(loaded);
        for warning in &warnings {
            limited!(WARN, setting = printable(warning), "setting without effect");
        }
        let next = self.config.reloaded(&loaded);
        self.apply(&next)?;
        let (changed, waiting) = (self.config.differences(&next), next.differences(&loaded));
        limited!(INFO, changed = changed.join(", "), "settings reloaded");
        if !waiting.is_empty() {
            limited!(WARN, settings = waiting.join(", "), "changed settings take effect at the next start");
        }
        self.settings_hash.set(&next);
        (self.config, self.sources_of) = (next, sources_of);
        Ok(Reloaded { applied: changed, needs_restart: waiting })
    }

    /// Applies settings to the running server. Steps that can fail come first, so that they are applied
    /// together or not at all.
    fn apply(&self, next: &Config) -> Result<(), ReloadError> {
        let verifier = match next.auth != self.config.auth {
            true => Some(next.auth.verifier()?),
            // A verifier that stays keeps its cached key sets.
            false => None,
        };
        if let Some(tls) = &self.tls {
            tls.reload(next)?;
        }
        if let Some(log) = &self.log {
            log.set_filter(&next.log)?;
        }
        if let Some(verifier) = verifier {
            self.app.set_verifier(verifier.map(|verifier| Arc::new(verifier) as Arc<dyn Verifier>));
        }
        self.app.set_limits(next.limits.clone());
        self.app.set_accept_options(next.accept_options());
        self.rules.set(&next.projects);
        let rule = next.access_rule();
        if rule != self.config.access_rule() {
            self.app.set_access_rule(rule.map(|rule| Arc::new(rule) as Arc<dyn AccessRule>));
        }
        self.keys.set(&next.api);
        self.hosts.api.set(&next.api.hosts);
        self.hosts.internal.set(&next.internal.hosts);
        Ok(())
    }
}

/// An error with its causes. The hints of the errors of settings stand on lines of their own.
fn in_one_line(error: &ReloadError) -> String {
    with_causes(error).replace("\n\n", "; ").replace('\n', "; ")
}
