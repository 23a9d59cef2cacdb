//! The log lines of the start and the stop: which binary runs with which settings, and why it stopped.

use std::sync::OnceLock;

use switchboard::App;
use switchboard::backplane::Backplane;
use switchboard_log::printable;
use switchboard_redis::Redis;
use tokio::time::Instant;

use super::listeners::{Listeners, address};
use crate::apps::Mode;
use crate::config::{Config, Origin};
use crate::version::Version;

/// The log lines about the life of this process.
pub(super) struct Lifecycle {
    version: Version,
    began: Instant,
    stop: OnceLock<StopBegun>,
}

/// The first signal to stop.
struct StopBegun {
    signal: &'static str,
    at: Instant,
    connections: usize,
}

/// The fields of the log line at the start.
pub(super) struct Start<'a> {
    pub(super) mode: Mode,
    pub(super) config: &'a Config,
    pub(super) origin: &'a Origin,
    pub(super) redis: Option<&'a Redis>,
    pub(super) listeners: &'a Listeners,
    /// The limit of open files; each connection needs one.
    pub(super) open_files_max: Option<u64>,
}

impl Lifecycle {
    pub(super) fn begin(version: Version) -> Self {
        Lifecycle { version, began: Instant::now(), stop: OnceLock::new() }
    }

    /// Logs the start. Clients can connect.
    pub(super) fn log_start(&self, start: &Start<'_>) {
        let Start { mode, config, origin, redis, listeners, open_files_max } = start;
        let shown = |listener| address(listener).map(|address| address.to_string());
        tracing::info!(
            version = self.version.number,
            commit = self.version.commit,
            commit_date = self.version.date,
            mode = mode.name(),
            settings_file = origin.file.as_ref().map(printable),
            settings_variables = origin.variables,
            settings_flags = origin.flags,
            listen = shown(Some(&listeners.clients)),
            internal_listen = shown(listeners.internal.as_ref()),
            mesa_listen = shown(listeners.mesa.as_ref()),
            api_listen = shown(listeners.api.as_ref()),
            redirect_listen = shown(listeners.redirect.as_ref()),
            tls = config.tls.is_on().then(|| listeners_with_tls(config)),
            protocols = protocols(config).join(", "),
            redis = redis.map(|_| config.redis.url.shown().join(", ")),
            node = redis.map(|redis| redis.bus().node().to_string()),
            open_files_max,
            "server started"
        );
    }

    /// Records the signal that stops the server.
    pub(super) fn stop_begins(&self, signal: &'static str, app: &App) {
        let connections = app.hub().index().len();
        let _ = self.stop.set(StopBegun { signal, at: Instant::now(), connections });
    }

    /// Logs the end of a stop that a signal began. Any other end is an error, which the process prints.
    pub(super) fn log_stop(&self) {
        let Some(StopBegun { signal, at, connections }) = self.stop.get() else { return };
        tracing::info!(
            signal,
            stop_ms = at.elapsed().as_millis() as u64,
            uptime_s = self.began.elapsed().as_secs(),
            connections_closed = connections,
            version = self.version.number,
            commit = self.version.commit,
            "server stopped"
        );
    }
}

fn listeners_with_tls(config: &Config) -> String {
    let names: Vec<String> = config.tls.listeners.iter().map(ToString::to_string).collect();
    names.join(", ")
}

fn protocols(config: &Config) -> Vec<&'static str> {
    let all = [("emit", true), ("koji", config.koji.enabled), ("mesa", config.mesa.enabled)];
    all.into_iter().filter(|(_, is_on)| *is_on).map(|(name, _)| name).collect()
}
